/*
 * PID 1, and modprobe when it is called by that name.  One loop over epoll; nothing in it waits
 * for anything else.
 */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <sys/reboot.h>

#include "boot.h"
#include "console.h"
#include "control.h"
#include "device.h"
#include "early.h"
#include "log.h"
#include "module.h"
#include "notify.h"
#include "supervise.h"
#include "sys.h"
#include "watchdog.h"

enum source {
	FROM_SIGNAL, FROM_TIMER, FROM_DEVICES, FROM_REPORT, FROM_CONSOLE, FROM_UNIT, FROM_NOTIFY,
	FROM_CONTROL,
};
#define KEY(source) ((uint64_t)(source) << 32)
#define EVENTS 64

static struct unit units[MAX_UNITS];
static struct boot boot;
static int epoll, signals, timer, uevents = -1;

/* Reads the table; returns what is wrong with it in error, which stays empty when all is well. */
static void read_table(struct text *error)
{
	int fd = sys_open(TABLE_PATH, O_RDONLY, 0);
	int64_t size = fd < 0 ? fd : sys_file_size(fd);
	const char *data;

	if (size < 0) {
		text_add(error, strerror((int)-size));
		return;
	}
	data = size <= MAX_TABLE_BYTES ? sys_map(fd, (size_t)size) : NULL;
	sys_close(fd);
	if (!data)
		text_add(error, "it is empty or too large");
	else if (!table_read(&boot.table, data, (size_t)size, units, error))
		boot.table.unit_count = 0;
}

static enum action action_of(int signal)
{
	switch (signal) { /* what busybox's tools send, and ctrl-alt-del */
	case SIGUSR1:
		return ACTION_HALT;
	case SIGUSR2:
		return ACTION_POWEROFF;
	case SIGTERM:
	case SIGINT:
		return ACTION_REBOOT;
	default:
		return ACTION_NONE;
	}
}

static void handle_signals(void)
{
	for (int signal = sys_next_signal(signals); signal; signal = sys_next_signal(signals)) {
		enum action action = action_of(signal);

		if (action)
			boot_power(&boot, action);
	}
}

static void handle(uint64_t key)
{
	bool port_came = false;
	enum action action;

	switch ((enum source)(key >> 32)) {
	case FROM_SIGNAL:
		handle_signals();
		break;
	case FROM_TIMER: /* boot_advance follows in any case and sets it anew */
		break;
	case FROM_DEVICES:
		if (device_news(uevents, &port_came))
			boot_new_device(&boot);
		if (port_came) {
			report_find();
			control_find();
		}
		break;
	case FROM_REPORT:
		action = report_ready();
		if (action)
			boot_power(&boot, action);
		break;
	case FROM_CONSOLE:
		console_flush();
		break;
	case FROM_UNIT:
		log_read((unsigned)key, sys_now());
		break;
	case FROM_CONTROL:
		action = control_ready((unsigned)key);
		if (action)
			boot_power(&boot, action);
		break;
	case FROM_NOTIFY:
		if (notify_read((unsigned)key))
			supervise(&boot.table, (unsigned)key, EVENT_NOTIFIED, 0, 0);
		break;
	}
}

static void run(void)
{
	struct epoll_event events[EVENTS];

	while (boot.phase != PHASE_OVER) {
		bool reaped_all = boot_reap(&boot);
		int64_t next = boot_advance(&boot), answers;
		int count;

		if (boot.phase == PHASE_OVER)
			return;
		answers = control_advance();
		next = answers < next ? answers : next;
		if (!reaped_all)
			next = 1;
		(void)sys_set_timer(timer, next == NEVER ? 0 : next < 1 ? 1 : next);
		count = sys_wait_events(epoll, events, EVENTS);
		for (int i = 0; i < count; i++)
			handle(events[i].data.u64);
	}
}

static void set_up(struct text *error)
{
	epoll = sys_epoll();
	timer = sys_timer();
	(void)sys_watch(epoll, signals, EPOLLIN, KEY(FROM_SIGNAL));
	(void)sys_watch(epoll, timer, EPOLLIN | EPOLLET, KEY(FROM_TIMER));
	report_setup(epoll, KEY(FROM_REPORT));
	report_boot("started", "");
	report_phase("mounts");
	sys_raise_limits();
	if (boot.machine) {
		early_machine();
		(void)sys_own_ctrl_alt_del();
		uevents = sys_uevents();
		if (uevents >= 0)
			(void)sys_watch(epoll, uevents, EPOLLIN, KEY(FROM_DEVICES));
	} else {
		early_folders();
	}
	console_open(boot.machine ? "/dev/console" : "/proc/self/fd/1", 1);
	console_watch(epoll, KEY(FROM_CONSOLE));
	report_find();
	control_setup(&boot, epoll, KEY(FROM_CONTROL));
	control_find();
	read_table(error);
	if (!log_setup(&boot.table, epoll, KEY(FROM_UNIT)))
		text_add(error, "no memory");
	notify_setup(&boot.table, epoll, KEY(FROM_NOTIFY));
}

static _Noreturn void leave(void)
{
	struct epoll_event event;

	if (boot.action == ACTION_HALT)
		watchdog_release();
	(void)sys_reboot(boot.action == ACTION_REBOOT ? (unsigned)RB_AUTOBOOT
			 : boot.action == ACTION_HALT ? RB_HALT_SYSTEM : RB_POWER_OFF);
	if (!boot.machine)
		sys_exit(0);
	SAY("the kernel does not let the machine go down");
	for (;;) /* PID 1 must not end: the kernel would panic */
		(void)sys_wait_events(epoll, &event, 1);
}

int main(int argc, char *argv[])
{
	const char *slash = argc ? strrchr(argv[0], '/') : NULL;
	TEXT(error, 256);

	if (argc && strcmp(slash ? slash + 1 : argv[0], "modprobe") == 0)
		return module_main(argv);
	if (sys_pid() != 1) {
		static const char line[] = "init: this is the first program of a machine\n";

		(void)sys_write(2, line, sizeof line - 1);
		return 2;
	}
	/* From here on nothing ends PID 1 but the power. */
	sys_fill_standard();
	sys_umask(0); /* modes are meant as they stand */
	signals = sys_block_signals();
	boot.machine = !sys_exists("/proc/self");
	set_up(&error);
	boot_begin(&boot, error.data);
	run();
	leave();
}
