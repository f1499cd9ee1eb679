/* Does what the machine of unit states asks for, and tells the outside about it. */
#pragma once

#include "table.h"

/* One event for unit number of the table. */
void supervise(struct table *table, unsigned number, enum unit_event event, int status, int signal);
/* A child ended; returns whether it belonged to a unit. */
bool supervise_child(struct table *table, int pid, int status, int signal);
/* Handles passed deadlines; returns the next one. */
int64_t supervise_deadlines(struct table *table);

const char *section_word(enum section section);
/* How a unit ended, for people: "status 1", "signal 9", "took too long". */
void supervise_describe(const struct unit *unit, struct text *ret);
