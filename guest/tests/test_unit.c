/* Stories of a unit: events in, actions and states out. */
#include "../init/unit.h"
#include "check.h"

enum { END = -1 };

struct line {
	int event, status, signal;
	int64_t now;
	unsigned actions;
	enum unit_state state;
	const char *word;
};

struct story {
	const char *name;
	struct unit unit;
	struct line lines[14];
};

#define SERVICE_IS {.section = SECTION_SERVICES, .grace_ms = 10000, .timeout_ms = 60000, \
	.deadline = NEVER, .probe_at = NEVER, .start = 5, .clean = 6
#define SERVICE SERVICE_IS}
#define ONBOOT {.section = SECTION_ONBOOT, .grace_ms = 1000, .timeout_ms = 5000, .deadline = NEVER, .start = 5, .clean = 6}
#define KEPT SERVICE_IS, .restart = RESTART_ON_FAILURE, .first_delay_ms = 100, .most_delay_ms = 300, \
	.limit = 3, .stable_ms = 5000}
#define PROBED SERVICE_IS, .restart = RESTART_ON_FAILURE, .first_delay_ms = 100, .most_delay_ms = 300, \
	.stable_ms = 5000, .ready = {.kind = PROBE_TCP, .interval_ms = 50, .timeout_ms = 20}, \
	.health = {.kind = PROBE_EXEC, .interval_ms = 1000, .timeout_ms = 500, .retries = 2, \
	.start_period_ms = 2000}}
#define TELLS SERVICE_IS, .ready = {.kind = PROBE_NOTIFY}}
#define BEGUN (DO_BEGIN | DO_START_STEP | DO_REPORT)
#define START {EVENT_START, 0, 0, 100, BEGUN, UNIT_STARTING, "starting"}
#define READY {EVENT_PROBED, 0, 0, 320, DO_REPORT, UNIT_RUNNING, "ready"}
#define PROBE(at) {EVENT_PROBE, 0, 0, at, DO_PROBE, UNIT_RUNNING, "ready"}
#define STEPPED {EVENT_STEP_DONE, 0, 0, 200, DO_START_STEP, UNIT_STARTING, "starting"}
#define RUNS {EVENT_MAIN_KNOWN, 0, 0, 300, DO_REPORT, UNIT_RUNNING, "running"}
#define CLEANED(word) {EVENT_CLEANED, 0, 0, 9000, 0, UNIT_ENDED, word}
#define OVER (DO_CLEAN_STEP | DO_REPORT)

static struct story stories[] = {
	{"runs to its end", ONBOOT, {
		START, STEPPED, RUNS,
		{EVENT_MAIN_ENDED, 0, 0, 400, OVER, UNIT_CLEANING, "exited"},
		{EVENT_STEP_DONE, 1, 0, 500, DO_CLEAN_STEP, UNIT_CLEANING, "exited"},
		CLEANED("exited"), {.event = END}}},
	{"fails with a status", ONBOOT, {
		START, STEPPED, RUNS,
		{EVENT_MAIN_ENDED, 3, 0, 400, OVER, UNIT_CLEANING, "failed"},
		CLEANED("failed"), {.event = END}}},
	{"fails by a signal", SERVICE, {
		START, STEPPED, RUNS,
		{EVENT_MAIN_ENDED, 0, 11, 400, OVER, UNIT_CLEANING, "failed"},
		CLEANED("failed"), {.event = END}}},
	{"its runtime fails", SERVICE, {
		START,
		{EVENT_STEP_DONE, 1, 0, 400, DO_KILL | OVER, UNIT_CLEANING, "failed"},
		CLEANED("failed"), {.event = END}}},
	{"has nothing that could run", SERVICE, {
		START,
		{EVENT_BROKEN, 126, 0, 400, DO_KILL | OVER, UNIT_CLEANING, "failed"},
		CLEANED("failed"), {.event = END}}},
	{"ends before its runtime does", ONBOOT, {
		START,
		{EVENT_MAIN_ENDED, 7, 0, 300, 0, UNIT_STARTING, "starting"},
		{EVENT_STEP_DONE, 0, 0, 301, OVER, UNIT_CLEANING, "failed"},
		CLEANED("failed"), {.event = END}}},
	{"stops when asked", SERVICE, {
		START, STEPPED, RUNS,
		{EVENT_STOP, 0, 0, 400, DO_STOP, UNIT_STOPPING, "running"},
		{EVENT_STOP, 0, 0, 401, 0, UNIT_STOPPING, "running"},
		{EVENT_MAIN_ENDED, 143, 0, 500, OVER, UNIT_CLEANING, "stopped"},
		CLEANED("stopped"), {.event = END}}},
	{"is killed after its grace", SERVICE, {
		START, STEPPED, RUNS,
		{EVENT_STOP, 0, 0, 400, DO_STOP, UNIT_STOPPING, "running"},
		{EVENT_DEADLINE, 0, 0, 10400, DO_KILL, UNIT_KILLED, "running"},
		{EVENT_MAIN_ENDED, 0, 9, 10401, OVER, UNIT_CLEANING, "stopped"},
		CLEANED("stopped"), {.event = END}}},
	{"survives even that", SERVICE, {
		START, STEPPED, RUNS,
		{EVENT_STOP, 0, 0, 400, DO_STOP, UNIT_STOPPING, "running"},
		{EVENT_DEADLINE, 0, 0, 10400, DO_KILL, UNIT_KILLED, "running"},
		{EVENT_DEADLINE, 0, 0, 15400, OVER, UNIT_CLEANING, "failed"},
		{EVENT_DEADLINE, 0, 0, 30400, DO_KILL, UNIT_ENDED, "failed"}, {.event = END}}},
	{"takes too long to start", SERVICE, {
		START,
		{EVENT_DEADLINE, 0, 0, 60100, DO_KILL | OVER, UNIT_CLEANING, "failed"},
		CLEANED("failed"), {.event = END}}},
	{"takes too long to run", ONBOOT, {
		START, STEPPED, RUNS,
		{EVENT_DEADLINE, 0, 0, 5100, DO_STOP, UNIT_STOPPING, "running"},
		{EVENT_MAIN_ENDED, 0, 0, 5200, OVER, UNIT_CLEANING, "failed"},
		CLEANED("failed"), {.event = END}}},
	{"is not wanted any more", SERVICE, {
		{EVENT_STOP, 0, 0, 100, 0, UNIT_ENDED, "stopped"},
		{EVENT_START, 0, 0, 200, 0, UNIT_ENDED, "stopped"}, {.event = END}}},
	{"is stopped while it starts", SERVICE, {
		START,
		{EVENT_STOP, 0, 0, 150, 0, UNIT_STARTING, "starting"},
		STEPPED,
		{EVENT_MAIN_KNOWN, 0, 0, 300, DO_REPORT | DO_STOP, UNIT_STOPPING, "running"},
		{EVENT_MAIN_ENDED, 0, 15, 400, OVER, UNIT_CLEANING, "stopped"},
		CLEANED("stopped"), {.event = END}}},
	{"is stopped while its runtime hangs", SERVICE, {
		START,
		{EVENT_STOP, 0, 0, 150, 0, UNIT_STARTING, "starting"},
		{EVENT_DEADLINE, 0, 0, 10150, DO_KILL | OVER, UNIT_CLEANING, "stopped"},
		CLEANED("stopped"), {.event = END}}},
	{"comes again after a rest", KEPT, {
		START, STEPPED, RUNS,
		{EVENT_MAIN_ENDED, 1, 0, 400, OVER, UNIT_CLEANING, "restarting"},
		{EVENT_CLEANED, 0, 0, 500, 0, UNIT_RESTING, "restarting"},
		{EVENT_MAIN_ENDED, 0, 0, 550, 0, UNIT_RESTING, "restarting"},
		{EVENT_DEADLINE, 0, 0, 600, BEGUN, UNIT_STARTING, "starting"},
		STEPPED, RUNS,
		{EVENT_MAIN_ENDED, 0, 0, 700, OVER, UNIT_CLEANING, "exited"},
		CLEANED("exited"), {.event = END}}},
	{"is given up", KEPT, {
		START,
		{EVENT_STEP_DONE, 1, 0, 400, DO_KILL | OVER, UNIT_CLEANING, "restarting"},
		{EVENT_CLEANED, 0, 0, 500, 0, UNIT_RESTING, "restarting"},
		{EVENT_DEADLINE, 0, 0, 600, BEGUN, UNIT_STARTING, "starting"},
		{EVENT_BROKEN, 126, 0, 700, DO_KILL | OVER, UNIT_CLEANING, "restarting"},
		{EVENT_CLEANED, 0, 0, 700, 0, UNIT_RESTING, "restarting"},
		{EVENT_DEADLINE, 0, 0, 900, BEGUN, UNIT_STARTING, "starting"},
		{EVENT_DEADLINE, 0, 0, 60900, DO_KILL | OVER, UNIT_CLEANING, "failed"},
		CLEANED("failed"),
		{EVENT_DEADLINE, 0, 0, 61000, 0, UNIT_ENDED, "failed"}, {.event = END}}},
	{"is stopped while it rests", KEPT, {
		START, STEPPED, RUNS,
		{EVENT_MAIN_ENDED, 0, 9, 400, OVER, UNIT_CLEANING, "restarting"},
		{EVENT_CLEANED, 0, 0, 500, 0, UNIT_RESTING, "restarting"},
		{EVENT_STOP, 0, 0, 550, DO_REPORT, UNIT_ENDED, "stopped"},
		{EVENT_DEADLINE, 0, 0, 600, 0, UNIT_ENDED, "stopped"}, {.event = END}}},
	{"is stopped while it is cleaned up", KEPT, {
		START, STEPPED, RUNS,
		{EVENT_MAIN_ENDED, 0, 9, 400, OVER, UNIT_CLEANING, "restarting"},
		{EVENT_STOP, 0, 0, 450, DO_REPORT, UNIT_CLEANING, "stopped"},
		CLEANED("stopped"), {.event = END}}},
	{"is swept when cleaning went wrong", KEPT, {
		START, STEPPED, RUNS,
		{EVENT_MAIN_ENDED, 0, 9, 400, OVER, UNIT_CLEANING, "restarting"},
		{EVENT_DEADLINE, 0, 0, 15400, DO_KILL, UNIT_RESTING, "restarting"},
		{EVENT_DEADLINE, 0, 0, 15500, DO_BEGIN | DO_CLEAN_STEP | DO_REPORT, UNIT_STARTING, "starting"},
		{EVENT_STEP_DONE, 1, 0, 15600, DO_CLEAN_STEP, UNIT_STARTING, "starting"},
		{EVENT_CLEANED, 0, 0, 15700, DO_START_STEP, UNIT_STARTING, "starting"},
		STEPPED, RUNS, {.event = END}}},
	{"is started anew", SERVICE, {
		START, STEPPED, RUNS,
		{EVENT_AGAIN, 0, 0, 400, DO_STOP, UNIT_STOPPING, "running"},
		{EVENT_MAIN_ENDED, 0, 15, 500, OVER, UNIT_CLEANING, "restarting"},
		{EVENT_CLEANED, 0, 0, 600, 0, UNIT_RESTING, "restarting"},
		{EVENT_DEADLINE, 0, 0, 600, BEGUN, UNIT_STARTING, "starting"},
		STEPPED, RUNS, {.event = END}}},
	{"is started after its end", SERVICE, {
		START, STEPPED, RUNS,
		{EVENT_MAIN_ENDED, 3, 0, 500, OVER, UNIT_CLEANING, "failed"},
		CLEANED("failed"),
		{EVENT_AGAIN, 0, 0, 9100, BEGUN, UNIT_STARTING, "starting"}, {.event = END}}},
	{"is not started anew when all goes down", SERVICE, {
		START, STEPPED, RUNS,
		{EVENT_AGAIN, 0, 0, 400, DO_STOP, UNIT_STOPPING, "running"},
		{EVENT_STOP, 0, 0, 450, 0, UNIT_STOPPING, "running"},
		{EVENT_MAIN_ENDED, 0, 15, 500, OVER, UNIT_CLEANING, "stopped"},
		CLEANED("stopped"), {.event = END}}},
	{"is refused", KEPT, {
		{EVENT_REFUSED, 0, 0, 100, DO_REPORT, UNIT_ENDED, "failed"},
		{EVENT_START, 0, 0, 200, 0, UNIT_ENDED, "failed"}, {.event = END}}},
	{"becomes ready", PROBED, {
		START, STEPPED, RUNS,
		{EVENT_PROBE, 0, 0, 300, DO_PROBE, UNIT_RUNNING, "running"},
		{EVENT_PROBED, 1, 0, 310, 0, UNIT_RUNNING, "running"},
		{EVENT_PROBE, 0, 0, 360, DO_PROBE, UNIT_RUNNING, "running"},
		{EVENT_PROBE, 0, 0, 380, DO_END_PROBE, UNIT_RUNNING, "running"}, /* it took too long */
		{EVENT_PROBE, 0, 0, 430, DO_PROBE, UNIT_RUNNING, "running"},
		{EVENT_PROBED, 0, 0, 440, DO_REPORT, UNIT_RUNNING, "ready"},
		{EVENT_PROBED, 0, 0, 441, 0, UNIT_RUNNING, "ready"}, /* nobody asked */
		{EVENT_STOP, 0, 0, 500, DO_STOP, UNIT_STOPPING, "ready"}, {.event = END}}},
	{"never becomes ready", PROBED, {
		START, STEPPED, RUNS,
		{EVENT_PROBE, 0, 0, 300, DO_PROBE, UNIT_RUNNING, "running"},
		{EVENT_DEADLINE, 0, 0, 60100, DO_STOP | DO_END_PROBE, UNIT_STOPPING, "running"},
		{EVENT_MAIN_ENDED, 0, 15, 60200, OVER, UNIT_CLEANING, "restarting"}, {.event = END}}},
	{"is not well any more", PROBED, {
		START, STEPPED, RUNS,
		{EVENT_PROBE, 0, 0, 300, DO_PROBE, UNIT_RUNNING, "running"},
		READY,
		PROBE(1320), {EVENT_PROBED, 1, 0, 1330, 0, UNIT_RUNNING, "ready"}, /* too soon to count */
		PROBE(2330), {EVENT_PROBED, 0, 9, 2340, 0, UNIT_RUNNING, "ready"},
		PROBE(3340), {EVENT_PROBED, 1, 0, 3350, DO_STOP, UNIT_STOPPING, "ready"},
		{EVENT_MAIN_ENDED, 0, 0, 3400, OVER, UNIT_CLEANING, "restarting"}, {.event = END}}},
	{"ends while it is probed", PROBED, {
		START, STEPPED, RUNS,
		{EVENT_PROBE, 0, 0, 300, DO_PROBE, UNIT_RUNNING, "running"},
		{EVENT_MAIN_ENDED, 1, 0, 310, OVER | DO_END_PROBE, UNIT_CLEANING, "restarting"},
		{EVENT_PROBED, 0, 0, 320, 0, UNIT_CLEANING, "restarting"}, {.event = END}}},
	{"tells when it is ready", TELLS, {
		START, STEPPED, RUNS,
		{EVENT_NOTIFIED, 0, 0, 400, DO_REPORT, UNIT_RUNNING, "ready"},
		{EVENT_NOTIFIED, 0, 0, 401, 0, UNIT_RUNNING, "ready"}, {.event = END}}},
	{"tells before its runtime is through", TELLS, {
		START,
		{EVENT_NOTIFIED, 0, 0, 150, 0, UNIT_STARTING, "starting"},
		STEPPED,
		{EVENT_MAIN_KNOWN, 0, 0, 300, DO_REPORT, UNIT_RUNNING, "ready"}, {.event = END}}},
	{"hears nothing after its end", SERVICE, {
		START, STEPPED, RUNS,
		{EVENT_MAIN_ENDED, 0, 0, 400, OVER, UNIT_CLEANING, "exited"},
		{EVENT_STOP, 0, 0, 401, 0, UNIT_CLEANING, "exited"},
		CLEANED("exited"),
		{EVENT_MAIN_ENDED, 5, 0, 402, 0, UNIT_ENDED, "exited"},
		{EVENT_DEADLINE, 0, 0, 403, 0, UNIT_ENDED, "exited"}, {.event = END}}},
};

static void tell(struct story *story)
{
	for (struct line *line = story->lines; line->event != END; line++) {
		unsigned actions = unit_react(&story->unit, (enum unit_event)line->event, line->status,
					      line->signal, line->now);

		if (actions != line->actions || story->unit.state != line->state ||
		    strcmp(unit_word(&story->unit), line->word) != 0) {
			printf("%s: line %d: actions %u, state %d, %s\n", story->name,
			       (int)(line - story->lines), actions, (int)story->unit.state,
			       unit_word(&story->unit));
			failures++;
		}
	}
}

static enum unit_event any_event(unsigned *seed)
{
	*seed = *seed * 1103515245u + 12345u;
	return (enum unit_event)((*seed >> 16) % (EVENT_DEADLINE + 1));
}

/*
 * Every event in every state but the wish to start again: nothing leaves UNIT_ENDED, and the result
 * of a unit that is never restarted does not change.
 */
static void never_comes_back(void)
{
	unsigned seed = 1;

	for (int i = 0; i < 20000; i++) {
		struct unit unit = SERVICE;
		enum unit_outcome outcome = OUTCOME_NONE;
		bool ended = false;

		for (int j = 0; j < 12; j++) {
			enum unit_event event = any_event(&seed);

			if (event == EVENT_AGAIN)
				continue;
			(void)unit_react(&unit, event, (int)(seed >> 28), 0, j * 1000);
			CHECK(outcome == OUTCOME_NONE || unit.outcome == outcome);
			CHECK(!ended || unit.state == UNIT_ENDED);
			outcome = unit.outcome;
			ended = unit.state == UNIT_ENDED;
		}
	}
}

/*
 * Whatever happens to a unit that is kept: it never waits for nothing, and once it was told to stop
 * and the time goes on it comes to its end.
 */
static void always_ends(void)
{
	unsigned seed = 7;

	for (int i = 0; i < 20000; i++) {
		struct unit unit = PROBED;
		int64_t now = 0;

		for (int j = 0; j < 40; j++, now += 500) {
			(void)unit_react(&unit, any_event(&seed), (int)(seed >> 31), 0, now);
			CHECK(unit.state != UNIT_RESTING || unit.deadline < NEVER);
			CHECK(unit.state != UNIT_CLEANING || unit.deadline < NEVER);
			CHECK(!unit.probing || (unit.state == UNIT_RUNNING && unit.probe_at < NEVER));
			CHECK(unit_is_over(&unit) || unit.state != UNIT_ENDED || unit.starts == 0);
		}
		(void)unit_react(&unit, EVENT_STOP, 0, 0, now);
		for (int j = 0; j < 8 && unit.state != UNIT_ENDED; j++) {
			CHECK(unit.deadline < NEVER);
			(void)unit_react(&unit, EVENT_DEADLINE, 0, 0, unit.deadline);
		}
		CHECK(unit.state == UNIT_ENDED);
	}
}

static void rests_longer_each_time(void)
{
	static const int64_t rests[] = {100, 200, 300, 300};
	struct unit unit = KEPT;
	int64_t now = 1000;

	unit.limit = 0;
	(void)unit_react(&unit, EVENT_START, 0, 0, now);
	for (int i = 0; i < 4; i++) {
		(void)unit_react(&unit, EVENT_MAIN_KNOWN, 0, 0, now);
		(void)unit_react(&unit, EVENT_MAIN_ENDED, 1, 0, now);
		(void)unit_react(&unit, EVENT_CLEANED, 0, 0, now);
		CHECK(unit.deadline == now + rests[i]);
		now = unit.deadline;
		(void)unit_react(&unit, EVENT_DEADLINE, 0, 0, now);
	}
	(void)unit_react(&unit, EVENT_MAIN_KNOWN, 0, 0, now);
	now += 5000; /* this time it lasted */
	(void)unit_react(&unit, EVENT_MAIN_ENDED, 1, 0, now);
	(void)unit_react(&unit, EVENT_CLEANED, 0, 0, now);
	CHECK(unit.deadline == now + 100 && unit.starts == 5);
}

static void sets_deadlines(void)
{
	struct unit unit = SERVICE;

	(void)unit_react(&unit, EVENT_START, 0, 0, 100);
	CHECK(unit.deadline == 60100 && unit.next_step == 5);
	(void)unit_react(&unit, EVENT_MAIN_KNOWN, 0, 0, 200);
	CHECK(unit.deadline == NEVER); /* a service may run for ever */
	(void)unit_react(&unit, EVENT_STOP, 0, 0, 300);
	CHECK(unit.deadline == 10300);
	(void)unit_react(&unit, EVENT_MAIN_ENDED, 0, 0, 400);
	CHECK(unit.deadline > 400 && unit.deadline < 60000 && unit.next_step == 6);
	(void)unit_react(&unit, EVENT_CLEANED, 0, 0, 500);
	CHECK(unit.deadline == NEVER);
	unit = (struct unit)ONBOOT;
	(void)unit_react(&unit, EVENT_START, 0, 0, 100);
	(void)unit_react(&unit, EVENT_MAIN_KNOWN, 0, 0, 200);
	CHECK(unit.deadline == 5100); /* an onboot unit must come to its end */
}

int main(void)
{
	for (size_t i = 0; i < sizeof stories / sizeof stories[0]; i++)
		tell(&stories[i]);
	never_comes_back();
	always_ends();
	rests_longer_each_time();
	sets_deadlines();
	DONE();
}
