/* The boot table: read once, checked completely, then walked in place. */
#pragma once

#include "../include/layout.h"
#include "text.h"
#include "unit.h"

#define RECORD_ENUM(id, name, place, least, most) RECORD_##id,
enum record_kind { TABLE_RECORDS(RECORD_ENUM) RECORD_KINDS };

enum record_place { PLACE_HEAD, PLACE_MARK, PLACE_PROPERTY, PLACE_STEP };

struct record {
	enum record_kind kind;
	const char *name;
	unsigned count;
	const char *fields; /* count strings, one after the other */
};

struct table {
	const char *data;
	size_t size;
	int64_t log_ring, log_file, console_rate, parallel;
	const char *watchdog; /* its device, NULL: none */
	int64_t watchdog_ms;
	unsigned unit_count;
	struct unit *units;
};

/*
 * Checks data and fills units, which has room for MAX_UNITS.  Returns false with a message in
 * error when the table is not good; nothing of it may be used then.  The strings stay in data.
 */
bool table_read(struct table *table, const char *data, size_t size, struct unit *units,
		struct text *error);

/*
 * The record at *at, which moves on to the next.  Returns false at the end of a program.  Only
 * for a table that table_read liked; start with unit->start or unit->clean.
 */
bool table_step(const struct table *table, size_t *at, struct record *ret);

/* Field number i of a record. */
const char *record_field(const struct record *record, unsigned i);
/* String number i of a list of strings, one after the other. */
const char *table_word(const char *words, unsigned i);
/* Number i of such a list, which was checked to be one. */
unsigned table_unit(const char *words, unsigned i);

/* One record of any kind, checked against the limits; used by table_read and the dump. */
bool table_record(const char *data, size_t size, size_t *at, struct record *ret, struct text *error);
enum record_place record_place(enum record_kind kind);
