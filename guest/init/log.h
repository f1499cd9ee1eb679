/*
 * The output of units.  PID 1 reads it, keeps the last part of it in memory, writes it to a
 * bounded file and shows it on the console within a rate.
 */
#pragma once

#include "table.h"

/* False when there is no memory.  Units are known by their number in the table. */
bool log_setup(const struct table *table, int epoll, uint64_t key);
/* Returns the descriptor that the unit writes to, or a negative errno. */
int log_open(unsigned number);
/* Takes in what has been written so far; to be called when there is something, and at the end. */
void log_read(unsigned number, int64_t now);
void log_close(unsigned number, int64_t now);
/* What has become of a unit's output: all bytes, lines the console did not show, bytes no file took. */
struct log_counts {
	int64_t bytes, hidden_lines, lost_bytes;
};
struct log_counts log_counts(unsigned number);
/* Copies what memory still has from *position on, which moves; skipped is what it has no more. */
size_t log_copy(unsigned number, uint64_t *position, char *buffer, size_t size, uint64_t *skipped);
/* The last line that is not empty, or "". */
void log_last_line(unsigned number, struct text *ret);
/* The last lines, for the console. */
void log_show(unsigned number);
