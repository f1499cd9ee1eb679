/* The table that says what the first stage does: records of strings, made by formats/stage.py. */
#pragma once

#include <stddef.h>

#define MAGIC "linuxkit-stage"
#define VERSION "2"
#define MAX_TABLE 65536
#define MAX_FIELDS 8
#define MAX_MATCH 128 /* bytes that tell a file system from every other */

struct table {
	size_t size, at;
	char data[MAX_TABLE];
};

/* One record; fields that it does not have are empty. */
struct order {
	const char *name;
	char *fields[MAX_FIELDS];
	size_t count;
};

/* Whether data[0..size) is a table of this version, to be read from its start; NULL or why not. */
const char *table_open(struct table *table);

/* The next record, whose strings are those of the table; NULL or why there is none. */
const char *table_next(struct table *table, struct order *ret);

/* The bytes of a text of hexadecimal digits, MAX_MATCH at most; 0: it is no such text. */
size_t table_bytes(const char *text, unsigned char *out);
