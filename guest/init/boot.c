/* The order of things. */
#include "boot.h"

#include <errno.h>
#include <signal.h>
#include <string.h>

#include "console.h"
#include "control.h"
#include "device.h"
#include "host.h"
#include "stop.h"
#include "supervise.h"
#include "sys.h"
#include "watchdog.h"

#define DEVICES_MS 30000 /* for the modules of the present devices */
#define TERM_MS 2000
#define KILL_MS 2000
#define UNMOUNT_MS 30000
#define FAREWELL_MS 300
#define REAP_AT_ONCE 1024

static void enter(struct boot *boot, enum phase phase, int64_t for_ms)
{
	boot->phase = phase;
	boot->deadline = for_ms ? sys_now() + for_ms : NEVER;
}

static void load_modules(struct boot *boot)
{
	int pid = sys_fork();

	if (pid == 0)
		sys_exit(device_cold_plug());
	boot->device_pid = pid < 0 ? 0 : pid;
	boot->device_deadline = sys_now() + DEVICES_MS;
	boot->devices_again = false;
}

void boot_begin(struct boot *boot, const char *error)
{
	if (*error) {
		SAY("the boot table ", TABLE_PATH, " cannot be used: ", error);
		report_boot("failed", error);
		enter(boot, PHASE_HELD, 0);
		return;
	}
	enter(boot, PHASE_DEVICES, 0);
	if (boot->machine) {
		report_phase("modules");
		load_modules(boot);
	}
}

static void child_ended(struct boot *boot, int pid, int status, int signal)
{
	if (pid == boot->device_pid)
		boot->device_pid = 0;
	else if (pid == boot->unmount_pid)
		boot->unmount_pid = 0;
	else if (!supervise_child(&boot->table, pid, status, signal))
		(void)control_child(pid, status, signal); /* else an orphan */
}

bool boot_reap(struct boot *boot)
{
	for (int i = 0; i < REAP_AT_ONCE; i++) {
		int status = 0, signal = 0;
		int pid = sys_reap(&status, &signal);

		if (pid <= 0) {
			if (pid == -ECHILD && (boot->phase == PHASE_TERM || boot->phase == PHASE_KILL))
				boot->deadline = 0; /* nobody is left to wait for */
			return true;
		}
		child_ended(boot, pid, status, signal);
	}
	return false;
}

void boot_new_device(struct boot *boot)
{
	if (boot->phase >= PHASE_STOPPING)
		return;
	if (boot->device_pid)
		boot->devices_again = true;
	else
		load_modules(boot);
}

static bool in_onboot(const struct unit *unit)
{
	return unit->section == SECTION_VOLUMES || unit->section == SECTION_ONBOOT;
}

static bool in_onshutdown(const struct unit *unit)
{
	return unit->section == SECTION_ONSHUTDOWN;
}

static void hold(struct boot *boot, const struct unit *unit)
{
	TEXT(why, MAX_NAME + 64);

	text_join(&why, section_word(unit->section), "/", unit->name, " failed", NULL);
	SAY("the boot stops here: ", why.data, "; no service is started");
	report_boot("failed", why.data);
	enter(boot, PHASE_HELD, 0);
}

/* A unit failed: returns whether the boot goes on. */
static bool obey_policy(struct boot *boot, const struct unit *unit)
{
	if (!unit_has_failed(unit))
		return true;
	switch (unit->on_failure) {
	case POLICY_STOP:
		hold(boot, unit);
		return false;
	case POLICY_REBOOT:
		boot_power(boot, ACTION_REBOOT);
		return false;
	case POLICY_POWEROFF:
		boot_power(boot, ACTION_POWEROFF);
		return false;
	case POLICY_HALT:
		boot_power(boot, ACTION_HALT);
		return false;
	case POLICY_CONTINUE:
	case POLICIES:
		break;
	}
	return true;
}

/* Runs the chosen units one at a time; true when all are through. */
static bool run_in_order(struct boot *boot, bool (*chosen)(const struct unit *unit))
{
	enum phase phase = boot->phase;

	for (unsigned i = 0; i < boot->table.unit_count; i++) {
		struct unit *unit = &boot->table.units[i];

		if (!chosen(unit))
			continue;
		if (unit->state == UNIT_WAITING)
			supervise(&boot->table, i, EVENT_START, 0, 0);
		if (!unit_is_over(unit))
			return false;
		if (phase == PHASE_ONBOOT && !obey_policy(boot, unit))
			return false;
	}
	return true;
}

/* What is to come before the unit is there, or will not come any more. */
static bool may_start(const struct boot *boot, const struct unit *unit)
{
	for (unsigned i = 0; i < unit->after_count; i++) {
		const struct unit *other = &boot->table.units[table_unit(unit->after, i)];

		if (!other->is_ready && !unit_is_over(other) && other->state != UNIT_ENDED)
			return false;
	}
	return true;
}

/* What it cannot do without is there, or was and did its work. */
static bool has_what_it_requires(const struct boot *boot, const struct unit *unit)
{
	for (unsigned i = 0; i < unit->requires_count; i++) {
		const struct unit *other = &boot->table.units[table_unit(unit->requires, i)];

		if (unit_is_over(other) ? other->outcome != OUTCOME_EXITED : !other->is_ready)
			return false;
	}
	return true;
}

/* Starts services while there is room; true when none is on its way any more. */
static bool start_services(struct boot *boot)
{
	int64_t starting = 0, unready = 0;

	for (unsigned i = 0; i < boot->table.unit_count; i++)
		starting += boot->table.units[i].section == SECTION_SERVICES &&
			    boot->table.units[i].state == UNIT_STARTING;
	for (unsigned i = 0; i < boot->table.unit_count && starting < boot->table.parallel; i++) {
		struct unit *unit = &boot->table.units[i];

		if (unit->section != SECTION_SERVICES || unit->state != UNIT_WAITING ||
		    !may_start(boot, unit))
			continue;
		supervise(&boot->table, i, has_what_it_requires(boot, unit) ? EVENT_START : EVENT_REFUSED,
			  0, 0);
		starting += unit->state == UNIT_STARTING;
	}
	for (unsigned i = 0; i < boot->table.unit_count; i++)
		unready += boot->table.units[i].state == UNIT_RUNNING && !boot->table.units[i].is_ready;
	return starting == 0 && unready == 0;
}

/* A service that fails is reported; by its policy it may take the machine with it. */
static void watch_services(struct boot *boot)
{
	for (unsigned i = 0; i < boot->table.unit_count; i++) {
		const struct unit *unit = &boot->table.units[i];

		if (unit->section == SECTION_SERVICES && unit->on_failure != POLICY_STOP &&
		    !obey_policy(boot, unit))
			return;
	}
}

/* A line for a unit: how it is, and why when it failed; the host has its records for that. */
static void sum_up(const struct unit *unit)
{
	TEXT(how, 64);

	if (unit->outcome == OUTCOME_FAILED)
		supervise_describe(unit, &how);
	else if (report_connected())
		return;
	SAY("  ", section_word(unit->section), "/", unit->name, ": ",
	    unit->state == UNIT_WAITING ? "waiting" : unit_word(unit), how.length ? ", " : "", how.data);
}

static void announce(struct boot *boot)
{
	unsigned services = 0, failed = 0;
	TEXT(line, 128);

	for (unsigned i = 0; i < boot->table.unit_count; i++) {
		const struct unit *unit = &boot->table.units[i];

		services += unit->section == SECTION_SERVICES;
		failed += unit->outcome == OUTCOME_FAILED; /* those that come again, too */
	}
	report_up(services, failed);
	if (report_connected() && !failed)
		return;
	text_add(&line, "up after ");
	text_add_number(&line, sys_now());
	text_add(&line, " ms; services: ");
	text_add_number(&line, services);
	text_add(&line, ", failed units: ");
	text_add_number(&line, failed);
	SAY(line.data);
	for (unsigned i = 0; i < boot->table.unit_count; i++)
		if (!in_onshutdown(&boot->table.units[i]))
			sum_up(&boot->table.units[i]);
}

void boot_power(struct boot *boot, enum action action)
{
	boot->action = action; /* the last word counts */
	if (boot->phase >= PHASE_STOPPING)
		return;
	SAY("going down: ", action_word(action));
	report_boot("stopping", action_word(action));
	enter(boot, PHASE_STOPPING, 0);
}

static bool comes_after(const struct unit *unit, unsigned number)
{
	for (unsigned i = 0; i < unit->after_count; i++)
		if (table_unit(unit->after, i) == number)
			return true;
	return false;
}

/*
 * Stops what nothing needs any more: what comes after a unit ends before it does.  True when all
 * is through but what onshutdown units still need (and these units, until it is their turn).
 */
static bool stop_in_order(struct boot *boot)
{
	struct table *table = &boot->table;
	static bool kept[MAX_UNITS]; /* for an onshutdown unit */
	bool all = true;

	for (unsigned i = table->unit_count; i-- > 0;) {
		struct unit *unit = &table->units[i];
		bool needed = false;

		kept[i] = false;
		for (unsigned j = i + 1; j < table->unit_count; j++) {
			const struct unit *other = &table->units[j];

			if (!comes_after(other, i) || unit_is_over(other) || other->state == UNIT_ENDED)
				continue;
			needed = true;
			kept[i] |= kept[j] || in_onshutdown(other);
		}
		if (in_onshutdown(unit))
			continue;
		if (!needed)
			supervise(table, i, EVENT_STOP, 0, 0);
		all &= unit->state == UNIT_ENDED || kept[i];
	}
	return all;
}

/* Every unit is through with everything. */
static bool all_ended(const struct boot *boot)
{
	for (unsigned i = 0; i < boot->table.unit_count; i++)
		if (boot->table.units[i].state != UNIT_ENDED)
			return false;
	return true;
}

static void begin_unmount(struct boot *boot)
{
	int pid = sys_fork();

	if (pid == 0)
		sys_exit(stop_unmount(boot->machine));
	boot->unmount_pid = pid < 0 ? 0 : pid;
	enter(boot, PHASE_UNMOUNT, UNMOUNT_MS);
}

/* One phase further on the way up; true when the phase changed. */
static bool go_up(struct boot *boot)
{
	switch (boot->phase) {
	case PHASE_DEVICES:
		if (boot->device_pid)
			return false;
		if (boot->machine)
			host_setup();
		report_phase("onboot");
		enter(boot, PHASE_ONBOOT, 0);
		return true;
	case PHASE_ONBOOT:
		if (!run_in_order(boot, in_onboot))
			return boot->phase != PHASE_ONBOOT;
		report_phase("services");
		enter(boot, PHASE_SERVICES, 0);
		return true;
	case PHASE_SERVICES:
		watch_services(boot);
		if (boot->phase != PHASE_SERVICES || !start_services(boot))
			return boot->phase != PHASE_SERVICES;
		enter(boot, PHASE_UP, 0);
		announce(boot);
		return true;
	default: /* PHASE_UP */
		(void)start_services(boot); /* those that had to wait for one that is ready only now */
		watch_services(boot);
		return boot->phase != PHASE_UP;
	}
}

/* The same on the way down. */
static bool go_down(struct boot *boot, int64_t now)
{
	switch (boot->phase) {
	case PHASE_STOPPING:
		if (!stop_in_order(boot))
			return false;
		enter(boot, PHASE_ONSHUTDOWN, 0);
		return true;
	case PHASE_ONSHUTDOWN:
		(void)run_in_order(boot, in_onshutdown);
		(void)stop_in_order(boot);
		if (!all_ended(boot))
			return false;
		enter(boot, PHASE_TERM, TERM_MS);
		(void)sys_kill(-1, SIGTERM);
		(void)boot_reap(boot);
		return true;
	case PHASE_TERM:
		if (boot->deadline > now)
			return false;
		enter(boot, PHASE_KILL, KILL_MS);
		(void)sys_kill(-1, SIGKILL);
		(void)boot_reap(boot);
		return true;
	case PHASE_KILL:
		if (boot->deadline > now)
			return false;
		begin_unmount(boot);
		return true;
	case PHASE_UNMOUNT:
		if (boot->unmount_pid && boot->deadline > now)
			return false;
		if (boot->unmount_pid)
			SAY("unmounting takes too long, going on without");
		report_power(boot->action);
		enter(boot, PHASE_FAREWELL, FAREWELL_MS);
		return true;
	default: /* PHASE_FAREWELL */
		if (!report_sent() && boot->deadline > now)
			return false;
		enter(boot, PHASE_OVER, 0);
		return true;
	}
}

static void watch_devices(struct boot *boot, int64_t now)
{
	if (boot->device_pid && boot->device_deadline <= now) {
		SAY("loading modules takes too long, going on without");
		(void)sys_kill(boot->device_pid, SIGKILL);
		boot->device_pid = 0;
	}
	if (!boot->device_pid && boot->devices_again && boot->phase < PHASE_STOPPING)
		load_modules(boot);
}

int64_t boot_advance(struct boot *boot)
{
	int64_t next = supervise_deadlines(&boot->table);
	int64_t now = sys_now(), watchdog = NEVER;
	bool moved = true;

	watch_devices(boot, now);
	if (boot->machine)
		watchdog = watchdog_feed(&boot->table, now);
	while (moved && boot->phase != PHASE_OVER && boot->phase != PHASE_HELD)
		moved = boot->phase < PHASE_STOPPING ? go_up(boot) : go_down(boot, sys_now());
	for (unsigned i = 0; i < boot->table.unit_count; i++) { /* what has just begun */
		const struct unit *unit = &boot->table.units[i];

		next = unit->deadline < next ? unit->deadline : next;
		next = unit->probe_at < next ? unit->probe_at : next;
	}
	next = watchdog < next ? watchdog : next;
	if (boot->deadline < next)
		next = boot->deadline;
	if (boot->device_pid && boot->device_deadline < next)
		next = boot->device_deadline;
	return next;
}
