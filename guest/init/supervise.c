/* Does what the machine of unit states asks for. */
#include "supervise.h"

#include <errno.h>
#include <signal.h>
#include <string.h>

#include "console.h"
#include "files.h"
#include "log.h"
#include "program.h"
#include "report.h"
#include "sys.h"

static const char *const section_names[] = SECTION_NAMES;

const char *section_word(enum section section)
{
	return section_names[section];
}

void supervise_describe(const struct unit *unit, struct text *ret)
{
	if (unit->refused) {
		text_add(ret, "a unit that it requires is not there");
	} else if (unit->undying) {
		text_add(ret, "does not end even when killed");
	} else if (unit->unhealthy) {
		text_add(ret, "its health check failed");
	} else if (unit->timed_out) {
		text_add(ret, "took too long");
	} else {
		text_add(ret, unit->signal ? "signal " : "status ");
		text_add_number(ret, unit->signal ? unit->signal : unit->status);
		if (unit->broken)
			text_add(ret, ", could not be started");
	}
}

static void tell(const struct table *table, unsigned number)
{
	const struct unit *unit = &table->units[number];
	const char *section = section_word(unit->section);
	bool failed = unit->outcome == OUTCOME_FAILED;
	TEXT(last, 400);
	TEXT(how, 64);

	if (unit->outcome != OUTCOME_NONE)
		log_read(number, sys_now());
	if (failed) {
		supervise_describe(unit, &how);
		log_last_line(number, &last);
		if (unit->timed_out || unit->undying || unit->unhealthy || unit->refused || !last.length)
			last = how;
	}
	report_unit(unit, section, last.data);
	/* one that fails again and again fills no console: the first time, and when it is given up */
	if (failed && (!unit->comes_again || unit->tries <= 1)) {
		SAY(section, "/", unit->name, unit->comes_again ? " failed, restarting: " : " failed: ",
		    how.data);
		log_show(number);
	} else if (failed) {
		return;
	} else if (!report_connected()) {
		SAY(section, "/", unit->name, " ", unit_word(unit));
	}
}

/* Begins the next step of the start program; returns the event this leads to at once, if any. */
static bool start_step(struct table *table, unsigned number, enum unit_event *ret)
{
	struct unit *unit = &table->units[number];
	int output = log_open(number);
	int pid = output < 0 ? output : program_begin(table, unit, &unit->next_step, output);
	struct record ignored;
	size_t peek = unit->next_step;

	if (pid < 0) {
		SAY(section_word(unit->section), "/", unit->name, ": cannot begin: ", strerror(-pid));
		*ret = EVENT_BROKEN;
		return true;
	}
	if (pid > 0) {
		if (unit->pidfile || table_step(table, &peek, &ignored)) {
			unit->step_pid = pid;
			return false;
		}
		unit->main_pid = unit->inside_pid = pid; /* the last step itself is what runs */
		*ret = EVENT_MAIN_KNOWN;
		return true;
	}
	unit->main_pid = program_read_pid(unit, &unit->inside_pid);
	*ret = unit->main_pid ? EVENT_MAIN_KNOWN : EVENT_BROKEN;
	return true;
}

static bool clean_step(struct table *table, unsigned number, enum unit_event *ret)
{
	struct unit *unit = &table->units[number];
	int output = log_open(number);
	int pid = output < 0 ? 0 : program_begin(table, unit, &unit->next_step, output);

	if (pid > 0) {
		unit->step_pid = pid;
		return false;
	}
	*ret = EVENT_CLEANED;
	return true;
}

/*
 * The kernel drops a signal for the first process of a PID namespace that has no handler for it,
 * so there is nothing to wait for (pid_namespaces(7)).
 */
static bool is_deaf(int pid, int signal)
{
	char status[2048];
	const char *names, *caught;
	uint64_t mask = 0;
	TEXT(path, 32);

	text_add(&path, "/proc/");
	text_add_number(&path, pid);
	text_add(&path, "/status");
	if (file_read(path.data, status, sizeof status) < 0)
		return false;
	names = strstr(status, "NSpid:\t");
	caught = strstr(status, "SigCgt:\t");
	if (!names || !caught || !strchr(names + 7, '\t') || strchr(names + 7, '\t') > strchr(names, '\n'))
		return false; /* it has one number only: it lives in our own namespace */
	for (caught += 8; *caught && *caught != '\n'; caught++)
		mask = mask << 4 | (uint64_t)(*caught <= '9' ? *caught - '0' : *caught - 'a' + 10);
	return !(mask >> (signal - 1) & 1);
}

static void ask_to_end(struct unit *unit)
{
	if (is_deaf(unit->inside_pid, (int)unit->stop_signal))
		unit->deadline = 0; /* straight on to SIGKILL */
	(void)sys_kill(unit->inside_pid, (int)unit->stop_signal);
}

static void kill_all(struct unit *unit)
{
	if (unit->main_pid && unit->inside_pid != unit->main_pid)
		(void)sys_kill(unit->inside_pid, SIGKILL); /* first, so that it is not left behind */
	if (unit->main_pid)
		(void)sys_kill(unit->main_pid, SIGKILL);
	if (unit->step_pid)
		(void)sys_kill(unit->step_pid, SIGKILL);
	unit->step_pid = 0; /* what becomes of it matters to nobody */
}

/* What is left of the time before must not be taken for the new one. */
static void forget(struct unit *unit)
{
	unit->main_pid = unit->inside_pid = unit->step_pid = 0;
	if (unit->pidfile)
		(void)sys_remove(unit->pidfile);
}

static void probe_file_of(const struct unit *unit, struct text *ret)
{
	text_join(ret, unit->pidfile ? unit->pidfile : UNITS_DIR "/none", PROBE_SUFFIX, NULL);
}

/* Returns whether the event follows at once. */
static bool begin_probe(struct unit *unit, enum unit_event *ret)
{
	TEXT(pidfile, MAX_STRING + 8);
	int pid;

	probe_file_of(unit, &pidfile);
	pid = program_probe(unit, unit->is_ready ? &unit->health : &unit->ready, pidfile.data);
	unit->probe_pid = pid < 0 ? 0 : pid;
	*ret = EVENT_PROBED;
	return pid < 0;
}

static void end_probe(struct unit *unit)
{
	TEXT(pidfile, MAX_STRING + 8);

	probe_file_of(unit, &pidfile);
	if (unit->probe_pid)
		program_end_entered(pidfile.data, unit->probe_pid);
	unit->probe_pid = 0; /* its end tells nothing any more */
}

void supervise(struct table *table, unsigned number, enum unit_event event, int status, int signal)
{
	struct unit *unit = &table->units[number];

	for (bool more = true; more;) {
		unsigned actions = unit_react(unit, event, status, signal, sys_now());

		more = false;
		if (actions & DO_BEGIN)
			forget(unit);
		if (actions & DO_END_PROBE)
			end_probe(unit);
		if (actions & DO_STOP)
			ask_to_end(unit);
		if (actions & DO_KILL)
			kill_all(unit);
		if (actions & DO_REPORT)
			tell(table, number);
		if (actions & DO_START_STEP)
			more = start_step(table, number, &event);
		if (actions & DO_CLEAN_STEP)
			more = clean_step(table, number, &event);
		if (actions & DO_PROBE)
			more = begin_probe(unit, &event);
		/* of what follows at once, if anything does */
		status = event == EVENT_BROKEN ? 126 : event == EVENT_PROBED;
		signal = 0;
	}
	if (unit->state == UNIT_ENDED)
		log_close(number, sys_now());
}

bool supervise_child(struct table *table, int pid, int status, int signal)
{
	for (unsigned i = 0; i < table->unit_count; i++) {
		struct unit *unit = &table->units[i];

		if (unit->step_pid == pid) {
			unit->step_pid = 0;
			supervise(table, i, EVENT_STEP_DONE, status, signal);
			return true;
		}
		if (unit->probe_pid == pid) {
			unit->probe_pid = 0;
			supervise(table, i, EVENT_PROBED, status, signal);
			return true;
		}
		if (unit->main_pid == pid) {
			unit->main_pid = 0;
			supervise(table, i, EVENT_MAIN_ENDED, status, signal);
			return true;
		}
	}
	/*
	 * A container may end before its runtime has.  It became our child when the runtime exited,
	 * so the pid file is complete by now, though the runtime's own end was not seen yet.
	 */
	for (unsigned i = 0; i < table->unit_count; i++) {
		struct unit *unit = &table->units[i];
		int inside;

		if (unit->state == UNIT_STARTING && unit->step_pid
		    && program_read_pid(unit, &inside) == pid) {
			supervise(table, i, EVENT_MAIN_ENDED, status, signal);
			return true;
		}
	}
	return false;
}

int64_t supervise_deadlines(struct table *table)
{
	int64_t now = sys_now(), next = NEVER;

	for (unsigned i = 0; i < table->unit_count; i++) {
		const struct unit *unit = &table->units[i];

		if (unit->deadline <= now)
			supervise(table, i, EVENT_DEADLINE, 0, 0);
		if (unit->probe_at <= now)
			supervise(table, i, EVENT_PROBE, 0, 0);
	}
	for (unsigned i = 0; i < table->unit_count; i++) {
		const struct unit *unit = &table->units[i];

		next = unit->deadline < next ? unit->deadline : next;
		next = unit->probe_at < next ? unit->probe_at : next;
	}
	return next;
}
