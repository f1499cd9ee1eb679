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
	struct line lines[10];
};

#define SERVICE {.section = SECTION_SERVICES, .grace_ms = 10000, .timeout_ms = 60000, .deadline = NEVER, .start = 5, .clean = 6}
#define ONBOOT {.section = SECTION_ONBOOT, .grace_ms = 1000, .timeout_ms = 5000, .deadline = NEVER, .start = 5, .clean = 6}
#define START {EVENT_START, 0, 0, 100, DO_START_STEP | DO_REPORT, UNIT_STARTING, "starting"}
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

/* Every event in every state: nothing leaves UNIT_ENDED, and a result never changes. */
static void never_comes_back(void)
{
	unsigned seed = 1;

	for (int i = 0; i < 20000; i++) {
		struct unit unit = SERVICE;
		enum unit_outcome outcome = OUTCOME_NONE;
		bool ended = false;

		for (int j = 0; j < 12; j++) {
			seed = seed * 1103515245u + 12345u;
			(void)unit_react(&unit, (enum unit_event)((seed >> 16) % (EVENT_DEADLINE + 1)),
					 (int)(seed >> 28), 0, j * 1000);
			CHECK(outcome == OUTCOME_NONE || unit.outcome == outcome);
			CHECK(!ended || unit.state == UNIT_ENDED);
			outcome = unit.outcome;
			ended = unit.state == UNIT_ENDED;
		}
	}
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
	sets_deadlines();
	DONE();
}
