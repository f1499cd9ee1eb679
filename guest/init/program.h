/* Works off the steps of a unit's program in a child process, so that no step can block PID 1. */
#pragma once

#include "table.h"

/*
 * Begins the steps from *at up to and including the next exec, with output as standard output
 * and error; *at moves behind them.  Returns the child's pid, 0 when there is no step left, or a
 * negative errno.  A step that fails says so on output and ends the child with status 126.
 */
int program_begin(const struct table *table, const struct unit *unit, size_t *at, int output);
/* Reads the unit's pid file; 0 when there is no good one. */
int program_read_pid(const struct unit *unit);
