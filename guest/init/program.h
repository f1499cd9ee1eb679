/* Works off the steps of a unit's program in a child process, so that no step can block PID 1. */
#pragma once

#include "table.h"

/*
 * Begins the steps from *at up to and including the next exec, with output as standard output
 * and error; *at moves behind them.  Returns the child's pid, 0 when there is no step left, or a
 * negative errno.  A step that fails says so on output and ends the child with status 126.
 */
int program_begin(const struct table *table, const struct unit *unit, size_t *at, int output);
/*
 * Reads the unit's pid file: its main process, and behind a space perhaps the one in the container
 * that it stands for, else the same.  0 when there is no good one.
 */
int program_read_pid(const struct unit *unit, int *ret_inside);

/*
 * Runs a command in the unit's container, or where PID 1 is when the table names no way in.  The
 * command is count words, one after the other; what it says goes to output and error, or nowhere
 * when they are negative.  Its own pid will be in the file pidfile.  Returns the pid of the program
 * that waits for it, or a negative errno.
 */
int program_enter(const struct unit *unit, const char *pidfile, const char *words, unsigned count,
		  int output, int error);
/* Ends such a command with the program that waits for it. */
void program_end_entered(const char *pidfile, int pid);

/* Begins a probe of the unit; the process it returns ends with 0 when all is well. */
int program_probe(const struct unit *unit, const struct probe *probe, const char *pidfile);
