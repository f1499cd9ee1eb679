/*
 * One unit: a container (or a volume) with its programs, and the machine of its states.
 *
 *   WAITING -> STARTING -> RUNNING -> STOPPING -> KILLED -> CLEANING -> ENDED
 *                 ^                                             |
 *                 +------------------ RESTING <-----------------+
 *
 * A unit starts by working off the steps of its start program; each exec in it is waited for.
 * With a pid file the process named there is the unit's main process, else the last step's
 * process is.  Whatever way it ends, the clean program follows.  One that is to come again rests
 * for a while, longer each time.  unit_react() is pure: it changes the unit's fields only and
 * says what is to be done.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define NEVER INT64_MAX

enum section { SECTION_VOLUMES, SECTION_ONBOOT, SECTION_SERVICES, SECTION_ONSHUTDOWN, SECTIONS };
enum policy {
	POLICY_STOP, POLICY_CONTINUE, POLICY_REBOOT, POLICY_POWEROFF, POLICY_HALT, POLICIES
};
enum restart { RESTART_NO, RESTART_ON_FAILURE, RESTART_ALWAYS };
enum probe_kind { PROBE_NONE, PROBE_EXEC, PROBE_TCP, PROBE_FILE, PROBE_NOTIFY };

enum unit_state {
	UNIT_WAITING,
	UNIT_STARTING,
	UNIT_RUNNING,
	UNIT_STOPPING, /* asked to stop, within its grace */
	UNIT_KILLED,   /* SIGKILL was sent */
	UNIT_CLEANING,
	UNIT_RESTING, /* until it starts again */
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
	EVENT_STOP,        /* somebody wants it to stop, or the machine goes down */
	EVENT_AGAIN,       /* somebody wants it to start, or to start anew */
	EVENT_REFUSED,     /* what it requires is not there and will not come */
	EVENT_PROBE,       /* unit->probe_at has passed */
	EVENT_PROBED,      /* the probe's process ended; status and signal say how */
	EVENT_NOTIFIED,    /* it says of itself that it is ready */
	EVENT_DEADLINE,    /* unit->deadline has passed */
};

/* What to do, as bits. */
enum unit_action {
	DO_START_STEP = 1,  /* begin the next step of the start program, or find the main process */
	DO_CLEAN_STEP = 2,  /* begin the next step of the clean program, if there is one */
	DO_STOP = 4,        /* the stop signal to the main process */
	DO_KILL = 8,        /* SIGKILL to the main process and the step's process */
	DO_REPORT = 16,     /* the state changed as seen from outside */
	DO_BEGIN = 32,      /* forget the process and the pid file of the time before */
	DO_PROBE = 64,      /* begin the probe's process */
	DO_END_PROBE = 128, /* SIGKILL to it */
};

/* How to find out whether a unit is ready, or well. */
struct probe {
	enum probe_kind kind;
	int64_t interval_ms, timeout_ms, retries, start_period_ms;
	const char *words; /* in the table: argv, a port, or a path */
	unsigned count;
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
	enum restart restart;
	int64_t first_delay_ms, most_delay_ms; /* from an end to the next start, doubled each time */
	int64_t limit;                /* starts in a row that may fail; 0: any number */
	int64_t stable_ms;            /* what ran so long begins to count anew */
	const char *after, *requires; /* numbers of units, as text in the table */
	unsigned after_count, requires_count;
	const char *enter;            /* argv before a command that is to run in the container */
	unsigned enter_count;
	struct probe ready, health;

	/* the machine */
	enum unit_state state;
	enum unit_outcome outcome;
	int status, signal; /* of the main process, or of the step that failed */
	bool stop_wanted, timed_out, undying, broken;
	bool main_ended; /* before the step that started it did */
	bool is_ready;   /* as far as anybody can tell */
	bool notified;   /* it said so itself */
	bool refused, unhealthy;
	bool comes_again; /* after cleaning and a rest */
	bool again;       /* somebody asked for that */
	bool dirty;       /* cleaning went wrong: do it again before the next start */
	bool sweeping;    /* which is under way */
	bool probing;
	int64_t starts, tries, bad; /* in all; in a row that did not last; probes in a row */
	int64_t running_since;      /* 0: not yet */
	int64_t deadline, probe_at;

	/* kept by the supervisor */
	size_t next_step;
	int step_pid, main_pid, probe_pid; /* 0: none */
	int inside_pid; /* what takes signals; the main process, or one that it stands for */
};

/* Takes in one event at the time now; returns the actions. */
unsigned unit_react(struct unit *unit, enum unit_event event, int status, int signal, int64_t now);

/* The unit is through with its main process; its result is known and no start follows. */
bool unit_is_over(const struct unit *unit);
/* It is over, and was no success. */
bool unit_has_failed(const struct unit *unit);

/* "starting", "running", "ready", "restarting", "exited", "failed" or "stopped". */
const char *unit_word(const struct unit *unit);
