/* The states of a unit; pure. */
#include "unit.h"

#define KILL_MS 5000   /* a process that survives SIGKILL this long hangs in the kernel */
#define CLEAN_MS 15000 /* for the whole clean program */

bool unit_is_over(const struct unit *unit)
{
	return unit->outcome != OUTCOME_NONE && !unit->comes_again;
}

bool unit_has_failed(const struct unit *unit)
{
	return unit->outcome == OUTCOME_FAILED && !unit->comes_again;
}

const char *unit_word(const struct unit *unit)
{
	if (unit->comes_again)
		return "restarting";
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
	if (unit->state <= UNIT_STARTING)
		return "starting";
	return unit->is_ready && unit->ready.kind != PROBE_NONE ? "ready" : "running";
}

static int64_t after(int64_t now, int64_t ms)
{
	return now > NEVER - ms ? NEVER : now + ms;
}

/* How long to rest after so many starts in a row that did not last. */
static int64_t delay(const struct unit *unit)
{
	int64_t ms = unit->first_delay_ms;

	for (int64_t i = 1; i < unit->tries && ms < unit->most_delay_ms; i++)
		ms *= 2;
	return ms > unit->most_delay_ms ? unit->most_delay_ms : ms;
}

static unsigned end_probe(struct unit *unit)
{
	bool probing = unit->probing;

	unit->probing = false;
	unit->probe_at = NEVER;
	return probing ? DO_END_PROBE : 0;
}

static unsigned begin(struct unit *unit, int64_t now)
{
	unit->outcome = OUTCOME_NONE;
	unit->status = unit->signal = 0;
	unit->stop_wanted = unit->timed_out = unit->undying = unit->broken = unit->main_ended = false;
	unit->is_ready = unit->notified = unit->refused = unit->unhealthy = false;
	unit->comes_again = unit->again = false;
	unit->running_since = unit->bad = 0;
	unit->probe_at = NEVER;
	unit->starts++;
	unit->state = UNIT_STARTING;
	unit->deadline = unit->timeout_ms ? after(now, unit->timeout_ms) : NEVER;
	unit->sweeping = unit->dirty && unit->clean;
	unit->dirty = false;
	unit->next_step = unit->sweeping ? unit->clean : unit->start;
	return DO_BEGIN | DO_REPORT | (unit->sweeping ? DO_CLEAN_STEP : DO_START_STEP);
}

static unsigned clean(struct unit *unit, int64_t now)
{
	unit->state = UNIT_CLEANING;
	unit->deadline = after(now, CLEAN_MS);
	unit->next_step = unit->clean;
	return DO_CLEAN_STEP | DO_REPORT;
}

/* Whether a start follows by the unit's own policy. */
static bool wants_restart(const struct unit *unit)
{
	if (unit->stop_wanted || unit->restart == RESTART_NO)
		return false;
	if (unit->restart == RESTART_ON_FAILURE && unit->outcome != OUTCOME_FAILED)
		return false;
	return !unit->limit || unit->tries < unit->limit;
}

/* The unit's result is known: clean up behind it. */
static unsigned finish(struct unit *unit, int status, int signal, int64_t now)
{
	unsigned actions = end_probe(unit);

	unit->status = status;
	unit->signal = signal;
	if (unit->timed_out || unit->undying || unit->broken || unit->unhealthy)
		unit->outcome = OUTCOME_FAILED;
	else if (unit->stop_wanted)
		unit->outcome = OUTCOME_STOPPED;
	else
		unit->outcome = status || signal ? OUTCOME_FAILED : OUTCOME_EXITED;
	if (unit->running_since && now - unit->running_since >= unit->stable_ms)
		unit->tries = 0;
	unit->tries++;
	unit->comes_again = unit->again || wants_restart(unit);
	return actions | clean(unit, now);
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
	return DO_STOP | end_probe(unit);
}

static unsigned step_done(struct unit *unit, int status, int signal, int64_t now)
{
	if (unit->state == UNIT_CLEANING) { /* whether it went well changes no result any more */
		unit->dirty |= status || signal;
		return DO_CLEAN_STEP;
	}
	if (unit->state != UNIT_STARTING)
		return 0;
	if (unit->sweeping)
		return DO_CLEAN_STEP;
	if (status || signal)
		return fail_to_start(unit, status, signal, now);
	if (unit->main_ended)
		return finish(unit, unit->status, unit->signal, now);
	return DO_START_STEP;
}

static void become_ready(struct unit *unit, int64_t now)
{
	unit->is_ready = true;
	unit->bad = 0;
	if (unit->section == SECTION_SERVICES) /* for the others the limit is on the whole run */
		unit->deadline = NEVER;
	unit->probe_at = unit->health.kind == PROBE_NONE ? NEVER : after(now, unit->health.interval_ms);
}

static unsigned main_known(struct unit *unit, int64_t now)
{
	if (unit->state != UNIT_STARTING)
		return 0;
	unit->state = UNIT_RUNNING;
	unit->running_since = now;
	if (unit->stop_wanted)
		return DO_REPORT | ask_to_stop(unit, now);
	if (unit->ready.kind == PROBE_NONE || unit->notified)
		become_ready(unit, now);
	else if (unit->ready.kind != PROBE_NOTIFY)
		unit->probe_at = now;
	return DO_REPORT;
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
	case UNIT_RESTING:
	case UNIT_ENDED:
		break;
	}
	return 0;
}

static unsigned cleaned(struct unit *unit, int64_t now)
{
	if (unit->state == UNIT_STARTING && unit->sweeping) {
		unit->sweeping = false;
		unit->next_step = unit->start;
		return DO_START_STEP;
	}
	if (unit->state != UNIT_CLEANING)
		return 0;
	unit->state = unit->comes_again ? UNIT_RESTING : UNIT_ENDED;
	unit->deadline = !unit->comes_again ? NEVER : unit->again ? now : after(now, delay(unit));
	return 0;
}

static unsigned stop(struct unit *unit, int64_t now)
{
	bool known = unit->stop_wanted && !unit->again;

	if (known)
		return 0;
	unit->again = false;
	switch (unit->state) {
	case UNIT_WAITING:
		unit->stop_wanted = true;
		unit->state = UNIT_ENDED;
		return 0;
	case UNIT_STARTING: /* let the runtime finish, but not for ever */
		if (!unit->stop_wanted)
			unit->deadline = after(now, unit->grace_ms);
		unit->stop_wanted = true;
		return 0;
	case UNIT_RUNNING:
		unit->stop_wanted = true;
		return ask_to_stop(unit, now);
	case UNIT_STOPPING:
	case UNIT_KILLED:
		unit->stop_wanted = true; /* no restart */
		return 0;
	case UNIT_CLEANING:
	case UNIT_RESTING:
		if (!unit->comes_again)
			return 0;
		unit->comes_again = false;
		unit->stop_wanted = true;
		unit->outcome = OUTCOME_STOPPED;
		if (unit->state == UNIT_RESTING) {
			unit->state = UNIT_ENDED;
			unit->deadline = NEVER;
		}
		return DO_REPORT;
	case UNIT_ENDED:
		break;
	}
	return 0;
}

/* Somebody wants the unit to run: now if it does not, else as soon as it has ended. */
static unsigned start_anew(struct unit *unit, int64_t now)
{
	unsigned actions = 0;

	unit->tries = 0;
	switch (unit->state) {
	case UNIT_WAITING: /* its turn comes */
		return 0;
	case UNIT_ENDED:
	case UNIT_RESTING:
		return begin(unit, now);
	case UNIT_CLEANING:
		actions = unit->comes_again ? 0 : DO_REPORT;
		unit->comes_again = true;
		break;
	case UNIT_STARTING:
	case UNIT_RUNNING:
	case UNIT_STOPPING:
	case UNIT_KILLED:
		actions = stop(unit, now);
		break;
	}
	unit->again = true;
	return actions;
}

static unsigned refuse(struct unit *unit)
{
	if (unit->state != UNIT_WAITING)
		return 0;
	unit->state = UNIT_ENDED;
	unit->outcome = OUTCOME_FAILED;
	unit->refused = true;
	return DO_REPORT;
}

static unsigned probed(struct unit *unit, bool good, int64_t now)
{
	const struct probe *probe = unit->is_ready ? &unit->health : &unit->ready;

	unit->probing = false;
	if (unit->state != UNIT_RUNNING)
		return 0;
	unit->probe_at = after(now, probe->interval_ms);
	if (!unit->is_ready) {
		if (good)
			become_ready(unit, now);
		return good ? DO_REPORT : 0;
	}
	if (good)
		unit->bad = 0;
	else if (now - unit->running_since >= probe->start_period_ms)
		unit->bad++;
	if (!unit->bad || unit->bad < probe->retries)
		return 0;
	unit->unhealthy = true;
	return ask_to_stop(unit, now);
}

/* A probe is due, or the one under way takes too long. */
static unsigned probe(struct unit *unit, int64_t now)
{
	unit->probe_at = NEVER;
	if (unit->state != UNIT_RUNNING)
		return 0;
	if (unit->probing)
		return DO_END_PROBE | probed(unit, false, now);
	unit->probing = true;
	unit->probe_at = after(now, (unit->is_ready ? &unit->health : &unit->ready)->timeout_ms);
	return DO_PROBE;
}

static unsigned notified(struct unit *unit, int64_t now)
{
	unit->notified = unit->ready.kind == PROBE_NOTIFY && unit->state == UNIT_STARTING;
	if (unit->state != UNIT_RUNNING || unit->is_ready || unit->ready.kind != PROBE_NOTIFY)
		return 0;
	become_ready(unit, now);
	return DO_REPORT;
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
		unit->dirty = true;
		return DO_KILL | cleaned(unit, now);
	case UNIT_RESTING:
		return begin(unit, now);
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
		return unit->state == UNIT_WAITING ? begin(unit, now) : 0;
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
		return cleaned(unit, now);
	case EVENT_STOP:
		return stop(unit, now);
	case EVENT_AGAIN:
		return start_anew(unit, now);
	case EVENT_REFUSED:
		return refuse(unit);
	case EVENT_PROBE:
		return probe(unit, now);
	case EVENT_PROBED:
		return unit->probing ? probed(unit, !status && !signal, now) : 0;
	case EVENT_NOTIFIED:
		return notified(unit, now);
	case EVENT_DEADLINE:
		return deadline(unit, now);
	}
	return 0;
}
