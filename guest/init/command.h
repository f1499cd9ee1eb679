/* A command in a container, whose output goes to a session. */
#pragma once

#include "session.h"
#include "unit.h"

struct command {
	int pid, status; /* pid 0: it ended, with this status */
	int readers[2];  /* its standard output and error, -1: closed */
	unsigned number; /* tells the files of several commands apart */
};

/* Begins it; words are shorter than a session's line together.  Returns 0 or a negative errno. */
int command_begin(struct command *command, const struct unit *unit, unsigned number, char *words[],
		  unsigned count);
/* Sends what it has said, as far as there is room; true when it ended and all is sent. */
bool command_pass_on(struct command *command, struct session *session);
/* Ends it if it runs, and closes what it has open. */
void command_end(struct command *command);
