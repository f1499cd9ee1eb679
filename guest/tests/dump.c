/* Prints a boot table as build/boottable.py does; the contract test compares the two. */
#include <stdio.h>
#include <stdlib.h>

#include "../init/table.h"

static char data[MAX_TABLE_BYTES + 1];
static struct unit units[MAX_UNITS];

static void print_field(const char *field)
{
	printf(" \"");
	for (const unsigned char *s = (const unsigned char *)field; *s; s++)
		if (*s < ' ' || *s > '~' || *s == '"' || *s == '\\')
			printf("\\x%02x", *s);
		else
			putchar(*s);
	putchar('"');
}

static int indent_of(const struct record *record)
{
	switch (record_place(record->kind)) {
	case PLACE_PROPERTY:
		return 2;
	case PLACE_STEP:
		return 4;
	case PLACE_MARK:
		return record->kind == RECORD_START || record->kind == RECORD_CLEAN ? 2 : 0;
	case PLACE_HEAD:
		break;
	}
	return 0;
}

int main(int argc, char *argv[])
{
	TEXT(error, 256);
	struct table table;
	struct record record;
	FILE *file = argc > 1 ? fopen(argv[1], "rb") : NULL;
	size_t size = file ? fread(data, 1, sizeof data, file) : 0;
	size_t at = sizeof TABLE_MAGIC + sizeof TABLE_VERSION;

	if (!table_read(&table, data, size, units, &error)) {
		printf("refused: %s\n", error.data);
		return 1;
	}
	printf("%s %s\n", TABLE_MAGIC, TABLE_VERSION);
	while (table_record(data, size, &at, &record, &error) && record.kind != RECORD_END) {
		printf("%*s%s", indent_of(&record), "", record.name);
		for (unsigned i = 0; i < record.count; i++)
			print_field(record_field(&record, i));
		putchar('\n');
	}
	fclose(file);
	return 0;
}
