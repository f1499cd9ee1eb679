/*
 * One unit: a container (or a volume) with its programs, and the machine of its states.
 *
 *   WAITING -> STARTING -> RUNNING -> STOPPING -> KILLED -> CLEANING -> ENDED
 *
 * A unit starts by working off the steps of its start program; each exec in it is waited for.
 * With a pid file the process named there is the unit's main process, else the last step's
 * process is.  Whatever way it ends, the clean program follows.  unit_react() is pure: it changes
 * the unit's fields only and says what is to be done.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define NEVER INT64_MAX

enum section { SECTION_VOLUMES, SECTION_ONBOOT, SECTION_SERVICES, SECTION_ONSHUTDOWN, SECTIONS };
enum policy { POLICY_STOP, POLICY_CONTINUE, POLICY_REBOOT, POLICY_POWEROFF, POLICIES };

enum unit_state {
	UNIT_WAITING,
	UNIT_STARTING,
	UNIT_RUNNING,
	UNIT_STOPPING, /* asked to stop, within its grace */
	UNIT_KILLED,   /* SIGKILL was sent */
	UNIT_CLEANING,
	UNIT_ENDED,
};

enum unit_outcome { OUTCOME_NONE, OUTCOME_EXITED, OUTCOME_FAILED, OUTCOME_STOPPED };

enum unit_event {
	EVENT_START,       /* its turn has come */
	EVENT_STEP_DONE,   /* the process of a step ended; status and signal say how */
	EVENT_MAIN_KNOWN,  /* the start program is through, the main process runs */
	EVENT_MAIN_ENDED,  /* status and signal say how */
	EVENT_BROKEN,      /* a step could not be begun, or left no main process */
	EVENT_CLEANED,     /* the clean program is through */
	EVENT_STOP,        /* the machine goes down */
	EVENT_DEADLINE,    /* unit->deadline has passed */
};

/* What to do, as bits. */
enum unit_action {
	DO_START_STEP = 1,  /* begin the next step of the start program, or find the main process */
	DO_CLEAN_STEP = 2,  /* begin the next step of the clean program, if there is one */
	DO_STOP = 4,        /* the stop signal to the main process */
	DO_KILL = 8,        /* SIGKILL to the main process and the step's process */
	DO_REPORT = 16,     /* the state changed as seen from outside */
};

struct unit {
	/* from the table */
	enum section section;
	const char *name;
	const char *pidfile; /* NULL: the last step's process is the main process */
	const char *log;     /* NULL: no file */
	enum policy on_failure;
	int64_t stop_signal, grace_ms, timeout_ms; /* timeout 0: none */
	size_t start, clean;          /* places in the table, 0: none */

	/* the machine */
	enum unit_state state;
	enum unit_outcome outcome;
	int status, signal; /* of the main process, or of the step that failed */
	bool stop_wanted, timed_out, undying, broken;
	bool main_ended; /* before the step that started it did */
	int64_t deadline;

	/* kept by the supervisor */
	size_t next_step;
	int step_pid, main_pid; /* 0: none */
};

/* Takes in one event at the time now; returns the actions. */
unsigned unit_react(struct unit *unit, enum unit_event event, int status, int signal, int64_t now);

/* The unit is through with its main process; its result is known. */
bool unit_is_over(const struct unit *unit);

/* "starting", "running", "exited", "failed" or "stopped". */
const char *unit_word(const struct unit *unit);
