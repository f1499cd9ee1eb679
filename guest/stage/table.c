/* The table that says what the first stage does. */
#include "table.h"

#include <stdlib.h>
#include <string.h>

#define CUT "it ends early"

/* The string at the table's place, which moves behind it; NULL at the end. */
static char *next(struct table *table)
{
	char *found = table->data + table->at;

	if (table->at >= table->size)
		return NULL;
	table->at += strlen(found) + 1;
	return found;
}

const char *table_open(struct table *table)
{
	const char *magic, *version;

	table->at = 0;
	if (!table->size || table->size >= sizeof table->data || table->data[table->size - 1])
		return "it is empty, too long or cut off";
	magic = next(table);
	version = next(table);
	if (!version || strcmp(magic, MAGIC) != 0 || strcmp(version, VERSION) != 0)
		return "it is not of this version";
	return NULL;
}

const char *table_next(struct table *table, struct order *ret)
{
	static char empty[] = "";
	char *count = next(table), *end;

	ret->name = count ? next(table) : NULL;
	if (!ret->name)
		return CUT;
	ret->count = strtoul(count, &end, 10);
	if (*count < '0' || *count > '9' || *end || ret->count > MAX_FIELDS)
		return "a record has no number of fields, or too many";
	for (size_t i = 0; i < MAX_FIELDS; i++) {
		ret->fields[i] = i < ret->count ? next(table) : empty;
		if (!ret->fields[i])
			return CUT;
	}
	return NULL;
}

static int digit(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

size_t table_bytes(const char *text, unsigned char *out)
{
	size_t count = 0;

	for (; *text; text += 2) {
		int high = digit(text[0]), low = high < 0 ? -1 : digit(text[1]);

		if (low < 0 || count == MAX_MATCH)
			return 0;
		out[count++] = (unsigned char)(high << 4 | low);
	}
	return count;
}
