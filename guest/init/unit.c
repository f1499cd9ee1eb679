/* The states of a unit; pure. */
#include "unit.h"

#define KILL_MS 5000   /* a process that survives SIGKILL this long hangs in the kernel */
#define CLEAN_MS 15000 /* for the whole clean program */

bool unit_is_over(const struct unit *unit)
{
	return unit->outcome != OUTCOME_NONE;
}

const char *unit_word(const struct unit *unit)
{
	switch (unit->outcome) {
	case OUTCOME_EXITED:
		return "exited";
	case OUTCOME_FAILED:
		return "failed";
	case OUTCOME_STOPPED:
		return "stopped";
	case OUTCOME_NONE:
		break;
	}
	if (unit->state == UNIT_ENDED)
		return "stopped"; /* before it began */
	return unit->state <= UNIT_STARTING ? "starting" : "running";
}

static int64_t after(int64_t now, int64_t ms)
{
	return now > NEVER - ms ? NEVER : now + ms;
}

static unsigned clean(struct unit *unit, int64_t now)
{
	unit->state = UNIT_CLEANING;
	unit->deadline = after(now, CLEAN_MS);
	unit->next_step = unit->clean;
	return DO_CLEAN_STEP | DO_REPORT;
}

/* The unit's result is known: clean up behind it. */
static unsigned finish(struct unit *unit, int status, int signal, int64_t now)
{
	unit->status = status;
	unit->signal = signal;
	if (unit->timed_out || unit->undying || unit->broken)
		unit->outcome = OUTCOME_FAILED;
	else if (unit->stop_wanted)
		unit->outcome = OUTCOME_STOPPED;
	else
		unit->outcome = status || signal ? OUTCOME_FAILED : OUTCOME_EXITED;
	return clean(unit, now);
}

static unsigned fail_to_start(struct unit *unit, int status, int signal, int64_t now)
{
	unit->broken = true;
	return DO_KILL | finish(unit, status, signal, now);
}

static unsigned ask_to_stop(struct unit *unit, int64_t now)
{
	unit->state = UNIT_STOPPING;
	unit->deadline = after(now, unit->grace_ms);
	return DO_STOP;
}

static unsigned start(struct unit *unit, int64_t now)
{
	if (unit->state != UNIT_WAITING)
		return 0;
	unit->state = UNIT_STARTING;
	unit->deadline = unit->timeout_ms ? after(now, unit->timeout_ms) : NEVER;
	unit->next_step = unit->start;
	return DO_START_STEP | DO_REPORT;
}

static unsigned step_done(struct unit *unit, int status, int signal, int64_t now)
{
	if (unit->state == UNIT_CLEANING) /* whether it went well changes nothing any more */
		return DO_CLEAN_STEP;
	if (unit->state != UNIT_STARTING)
		return 0;
	if (status || signal)
		return fail_to_start(unit, status, signal, now);
	if (unit->main_ended)
		return finish(unit, unit->status, unit->signal, now);
	return DO_START_STEP;
}

static unsigned main_known(struct unit *unit, int64_t now)
{
	if (unit->state != UNIT_STARTING)
		return 0;
	unit->state = UNIT_RUNNING;
	if (unit->section == SECTION_SERVICES) /* for the others the limit is on the whole run */
		unit->deadline = NEVER;
	return DO_REPORT | (unit->stop_wanted ? ask_to_stop(unit, now) : 0);
}

static unsigned main_ended(struct unit *unit, int status, int signal, int64_t now)
{
	switch (unit->state) {
	case UNIT_STARTING: /* its runtime is still there: hear first what it says */
		unit->main_ended = true;
		unit->status = status;
		unit->signal = signal;
		return 0;
	case UNIT_RUNNING:
	case UNIT_STOPPING:
	case UNIT_KILLED:
		return finish(unit, status, signal, now);
	case UNIT_WAITING:
	case UNIT_CLEANING:
	case UNIT_ENDED:
		break;
	}
	return 0;
}

static unsigned stop(struct unit *unit, int64_t now)
{
	if (unit->stop_wanted)
		return 0;
	switch (unit->state) {
	case UNIT_WAITING:
		unit->stop_wanted = true;
		unit->state = UNIT_ENDED;
		return 0;
	case UNIT_STARTING: /* let the runtime finish, but not for ever */
		unit->stop_wanted = true;
		unit->deadline = after(now, unit->grace_ms);
		return 0;
	case UNIT_RUNNING:
		unit->stop_wanted = true;
		return ask_to_stop(unit, now);
	case UNIT_STOPPING:
	case UNIT_KILLED:
	case UNIT_CLEANING:
	case UNIT_ENDED:
		break;
	}
	return 0;
}

static unsigned deadline(struct unit *unit, int64_t now)
{
	unit->deadline = NEVER;
	switch (unit->state) {
	case UNIT_STARTING:
		unit->timed_out = !unit->stop_wanted;
		return DO_KILL | finish(unit, 0, 0, now);
	case UNIT_RUNNING:
		unit->timed_out = true;
		return ask_to_stop(unit, now);
	case UNIT_STOPPING:
		unit->state = UNIT_KILLED;
		unit->deadline = after(now, KILL_MS);
		return DO_KILL;
	case UNIT_KILLED:
		unit->undying = true;
		return finish(unit, 0, 0, now);
	case UNIT_CLEANING:
		unit->state = UNIT_ENDED;
		return DO_KILL;
	case UNIT_WAITING:
	case UNIT_ENDED:
		break;
	}
	return 0;
}

unsigned unit_react(struct unit *unit, enum unit_event event, int status, int signal, int64_t now)
{
	switch (event) {
	case EVENT_START:
		return start(unit, now);
	case EVENT_STEP_DONE:
		return step_done(unit, status, signal, now);
	case EVENT_MAIN_KNOWN:
		return main_known(unit, now);
	case EVENT_MAIN_ENDED:
		return main_ended(unit, status, signal, now);
	case EVENT_BROKEN:
		if (unit->state == UNIT_STARTING)
			return fail_to_start(unit, status, signal, now);
		return 0;
	case EVENT_CLEANED:
		if (unit->state == UNIT_CLEANING) {
			unit->state = UNIT_ENDED;
			unit->deadline = NEVER;
		}
		return 0;
	case EVENT_STOP:
		return stop(unit, now);
	case EVENT_DEADLINE:
		return deadline(unit, now);
	}
	return 0;
}
