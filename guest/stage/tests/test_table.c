/* Reading the first stage's table: what is right, what is wrong, and garbage. */
#include "../table.h"

#include <stdint.h>
#include <stdlib.h>

#include "../../tests/check.h"

#define HEAD MAGIC "\0" VERSION "\0"

static struct table table;
static struct order order;

static const char *open_words(const char *words, size_t size)
{
	memset(table.data, 'x', sizeof table.data); /* nothing behind the end is read */
	memcpy(table.data, words, size);
	table.size = size;
	return table_open(&table);
}

/* What is wrong with the table, or with the first record in it that is wrong. */
static const char *problem(const char *words, size_t size)
{
	const char *found = open_words(words, size);

	while (!found)
		found = table_next(&table, &order);
	return found;
}

#define WRONG(words, why) CHECK_TEXT(problem(words, sizeof(words) - 1), why)

static void right(void)
{
	static const char words[] = HEAD "1\0module\0/m/a.ko\0" "2\0mount\0erofs\0\0" "0\0keep";

	CHECK(open_words(words, sizeof words) == NULL);
	CHECK(table_next(&table, &order) == NULL);
	CHECK_TEXT(order.name, "module");
	CHECK(order.count == 1);
	CHECK_TEXT(order.fields[0], "/m/a.ko");
	CHECK_TEXT(order.fields[1], "");
	CHECK(table_next(&table, &order) == NULL);
	CHECK_TEXT(order.fields[0], "erofs");
	CHECK_TEXT(order.fields[1], "");
	CHECK(table_next(&table, &order) == NULL);
	CHECK_TEXT(order.name, "keep");
	CHECK_TEXT(table_next(&table, &order), "it ends early");
}

static void wrong(void)
{
	WRONG("", "it is empty, too long or cut off");
	WRONG(MAGIC "\0" VERSION, "it is empty, too long or cut off");
	WRONG(MAGIC "\0", "it is not of this version");
	WRONG(MAGIC "\0" "1\0", "it is not of this version");
	WRONG(HEAD, "it ends early");
	WRONG(HEAD "1\0", "it ends early");
	WRONG(HEAD "2\0mount\0erofs\0", "it ends early");
	WRONG(HEAD "9\0mount\0", "a record has no number of fields, or too many");
	WRONG(HEAD "-1\0mount\0", "a record has no number of fields, or too many");
	WRONG(HEAD "\0mount\0", "a record has no number of fields, or too many");
	WRONG(HEAD "1x\0mount\0a\0", "a record has no number of fields, or too many");
	WRONG(HEAD "99999999999999999999\0mount\0", "a record has no number of fields, or too many");
}

static void bytes(void)
{
	unsigned char out[MAX_MATCH];
	char digits[2 * MAX_MATCH + 3] = {0};

	CHECK(table_bytes("00ff1a", out) == 3 && out[1] == 0xff && out[2] == 0x1a);
	CHECK(table_bytes("", out) == 0);
	CHECK(table_bytes("0", out) == 0);
	CHECK(table_bytes("0g", out) == 0);
	CHECK(table_bytes("FF", out) == 0);
	memset(digits, 'a', 2 * MAX_MATCH);
	CHECK(table_bytes(digits, out) == MAX_MATCH);
	memset(digits, 'a', 2 * MAX_MATCH + 2);
	CHECK(table_bytes(digits, out) == 0);
}

/* Changes anywhere, and any end. */
static void garbage(void)
{
	static const char good[] =
		HEAD "3\0find\0root\0" "1024\0ab01\0" "2\0verity\0" "8\0x\0" "1\0start\0/init";
	uint32_t seed = 1;
	unsigned char out[MAX_MATCH];

	for (int round = 0; round < 200000; round++) {
		char words[sizeof good];
		size_t size = sizeof good;

		memcpy(words, good, size);
		seed = seed * 1664525 + 1013904223;
		if (seed >> 31)
			size = (seed >> 8) % size;
		for (int change = 0; size && change < 3; change++) {
			seed = seed * 1664525 + 1013904223;
			words[(seed >> 12) % size] = (char)(seed >> 3);
		}
		if (open_words(words, size))
			continue;
		while (!table_next(&table, &order))
			for (size_t i = 0; i < MAX_FIELDS; i++) {
				CHECK(strlen(order.fields[i]) < sizeof good);
				(void)table_bytes(order.fields[i], out);
			}
	}
}

int main(void)
{
	right();
	wrong();
	bytes();
	garbage();
	DONE();
}
