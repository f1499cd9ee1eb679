/* Answers to the control socket and the host's ports. */
#include "control.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <string.h>

#include "command.h"
#include "console.h"
#include "files.h"
#include "log.h"
#include "session.h"
#include "supervise.h"
#include "sys.h"
#include "tell.h"

#define PORTS CONTROL_PORTS /* the first sessions are the host's */
#define SESSIONS 12
#define ACCEPTS 16 /* at one time */
#define REQUESTS 32
#define PORT_MS 20 /* until a port that was full is tried again */
#define GONE_MS 1000

enum job { JOB_NONE, JOB_LIST, JOB_LOGS, JOB_FOLLOW, JOB_START, JOB_STOP, JOB_EXEC };

struct work {
	enum job job;
	unsigned unit;     /* of JOB_LIST: the next one */
	uint64_t position; /* in the log */
	int64_t starts;    /* of the unit when a new one was asked for */
	struct command command;
};

static struct session sessions[SESSIONS];
static struct work works[SESSIONS];
/*
 * When to believe that nobody is at a port any more; 0: not asked.  The kernel may give us what a
 * new caller says before it has heard that the last one left and this one came.
 */
static int64_t gone_at[SESSIONS];
static struct boot *boot;
static int epoll, listener = -1;
static uint64_t epoll_key;

#define WATCHED (EPOLLIN | EPOLLOUT | EPOLLET)

void control_setup(struct boot *the_boot, int the_epoll, uint64_t key)
{
	boot = the_boot;
	epoll = the_epoll;
	epoll_key = key;
	for (unsigned i = 0; i < SESSIONS; i++)
		sessions[i].fd = -1;
	(void)file_mkdirs("/run/linuxkit", 0755);
	listener = sys_listen(CONTROL_SOCKET, false);
	if (listener < 0)
		SAY("cannot listen at ", CONTROL_SOCKET, ": ", strerror(-listener), ", going on");
	else
		(void)sys_watch(epoll, listener, EPOLLIN, key | SESSIONS);
}

static void open_port(unsigned number, const char *path)
{
	session_open(&sessions[number], sys_open(path, O_RDWR | O_NONBLOCK, 0));
	if (sessions[number].fd < 0)
		return;
	(void)sys_raw_terminal(sessions[number].fd);
	(void)sys_watch(epoll, sessions[number].fd, WATCHED, epoll_key | number);
}

static bool look_at_port(const char *folder, const char *name, void *context)
{
	static const char prefix[] = CONTROL_PORT;
	char found[64];
	unsigned number;
	TEXT(path, 300);

	(void)context;
	text_join(&path, folder, "/", name, "/name", NULL);
	if (file_read(path.data, found, sizeof found) < 0 ||
	    strncmp(found, prefix, sizeof prefix - 1) != 0)
		return true;
	number = (unsigned)(found[sizeof prefix - 1] - '0');
	if (number >= PORTS || found[sizeof prefix] || sessions[number].fd >= 0)
		return true;
	path.length = 0;
	text_join(&path, "/dev/", name, NULL);
	open_port(number, path.data);
	return true;
}

void control_find(void)
{
	TEXT(named, 128);

	if (file_kernel_word(CONTROL_WORD, &named)) {
		char *path = named.data;

		for (unsigned number = 0; path && number < PORTS; number++) {
			char *comma = strchr(path, ',');

			if (comma)
				*comma = '\0';
			if (sessions[number].fd < 0)
				open_port(number, path);
			path = comma ? comma + 1 : NULL;
		}
	}
	(void)file_list("/sys/class/virtio-ports", look_at_port, NULL);
}

static void drop_work(unsigned number)
{
	if (works[number].job == JOB_EXEC)
		command_end(&works[number].command);
	works[number] = (struct work){.job = JOB_NONE};
}

static void finish(unsigned number, int status, const char *message)
{
	if (*message) {
		TEXT(line, 256);

		text_join(&line, message, "\n", NULL);
		session_say(&sessions[number], "err", line.data, line.length);
	}
	session_end(&sessions[number], status);
	drop_work(number);
}

/* Nobody is on the other side any more. */
static void hang_up(unsigned number)
{
	struct session *session = &sessions[number];

	drop_work(number);
	session_reset(session);
	if (number < PORTS)
		return; /* the host may come again */
	sys_unwatch(epoll, session->fd);
	sys_close(session->fd);
	session->fd = -1;
}

/* "section/name", or the name alone, where services come first; units.count when there is none. */
static unsigned find_unit(const char *name)
{
	const struct table *table = &boot->table;
	unsigned found = table->unit_count;

	for (unsigned i = 0; i < table->unit_count; i++) {
		const struct unit *unit = &table->units[i];
		const char *section = section_word(unit->section);
		size_t length = strlen(section);
		/* the folders of onboot and onshutdown carry a number: 000-dhcpcd */
		const char *plain = unit->section == SECTION_SERVICES || !strchr(unit->name, '-')
					    ? unit->name : strchr(unit->name, '-') + 1;

		if (strncmp(name, section, length) == 0 && name[length] == '/' &&
		    strcmp(name + length + 1, unit->name) == 0)
			return i;
		if ((strcmp(name, unit->name) == 0 || strcmp(name, plain) == 0) &&
		    (found == table->unit_count || unit->section == SECTION_SERVICES))
			found = i;
	}
	return found;
}

static void begin_exec(unsigned number, char *words[], unsigned count)
{
	struct work *work = &works[number];
	const struct unit *unit = &boot->table.units[work->unit];
	int done;

	if (unit->state != UNIT_RUNNING || !unit->enter) {
		finish(number, 126, "it does not run");
		return;
	}
	done = command_begin(&work->command, unit, number, words, count);
	if (done < 0) {
		finish(number, 126, strerror(-done));
		return;
	}
	work->job = JOB_EXEC;
	for (int i = 0; i < 2; i++)
		(void)sys_watch(epoll, work->command.readers[i], EPOLLIN | EPOLLET, epoll_key | number);
}

static void on_unit(unsigned number, char *words[], unsigned count)
{
	struct work *work = &works[number];
	const char *verb = words[0];
	const struct unit *unit;

	work->unit = find_unit(words[1]);
	if (work->unit == boot->table.unit_count) {
		finish(number, 2, "there is no such unit");
		return;
	}
	unit = &boot->table.units[work->unit];
	work->starts = unit->starts;
	if (strcmp(verb, "exec") == 0 && count > 2) {
		begin_exec(number, words + 2, count - 2);
	} else if (strcmp(verb, "logs") == 0 && count <= 3) {
		work->job = count == 3 && strcmp(words[2], "follow") == 0 ? JOB_FOLLOW : JOB_LOGS;
	} else if (count == 2 && strcmp(verb, "calls") == 0) {
		if (tell_calls(&sessions[number], unit))
			finish(number, 0, "");
		else
			finish(number, 1, "it has learned nothing");
	} else if (count != 2 || strcmp(verb, "exec") == 0) {
		finish(number, 2, "that is no request");
	} else if (unit->section != SECTION_SERVICES || boot->phase >= PHASE_STOPPING) {
		finish(number, 1, "only services can be started and stopped, while the machine is up");
	} else if (strcmp(verb, "stop") == 0) {
		work->job = JOB_STOP;
		supervise(&boot->table, work->unit, EVENT_STOP, 0, 0);
	} else if (strcmp(verb, "restart") == 0 || unit->state == UNIT_ENDED ||
		   unit->state == UNIT_RESTING) {
		work->job = JOB_START;
		supervise(&boot->table, work->unit, EVENT_AGAIN, 0, 0);
	} else { /* it is on its way, or there */
		work->job = JOB_START;
		work->starts = unit->starts - 1;
	}
}

static enum action begin(unsigned number, char *words[], unsigned count)
{
	static const char *const verbs[] = {"logs", "start", "stop", "restart", "exec", "calls"};

	drop_work(number); /* a new request ends the one before */
	if (!session_has_room(&sessions[number])) /* so what was not read of it is in the way */
		sessions[number].queue.used = 0;
	for (unsigned i = ACTION_POWEROFF; i <= ACTION_HALT; i++) {
		if (count == 1 && strcmp(words[0], action_word((enum action)i)) == 0) {
			finish(number, 0, "");
			return (enum action)i;
		}
	}
	if (count == 1 && strcmp(words[0], "list") == 0) {
		works[number].job = JOB_LIST;
		return ACTION_NONE;
	}
	for (size_t i = 0; i < sizeof verbs / sizeof verbs[0]; i++) {
		if (count > 1 && strcmp(words[0], verbs[i]) == 0) {
			on_unit(number, words, count);
			if (works[number].job != JOB_NONE) /* it may take its time: tell that it began */
				session_say(&sessions[number], "out", "", 0);
			return ACTION_NONE;
		}
	}
	finish(number, 2, "that is no request");
	return ACTION_NONE;
}

static void accept_all(void)
{
	for (int i = 0; i < ACCEPTS; i++) {
		int fd = sys_accept(listener);
		unsigned number = PORTS;

		if (fd < 0)
			return;
		while (number < SESSIONS && sessions[number].fd >= 0)
			number++;
		if (number == SESSIONS) {
			sys_close(fd); /* too many at once: they see the end at once */
			continue;
		}
		session_open(&sessions[number], fd);
		drop_work(number);
		(void)sys_watch(epoll, fd, WATCHED, epoll_key | number);
	}
}

enum action control_ready(unsigned number)
{
	struct session *session = &sessions[number];
	enum action action = ACTION_NONE;
	char *words[SESSION_WORDS];
	unsigned count = 0;

	if (number == SESSIONS) {
		accept_all();
		return ACTION_NONE;
	}
	for (int i = 0; session->fd >= 0 && i < REQUESTS; i++) {
		enum session_news news = session_read(session, words, &count);
		enum action wanted = ACTION_NONE;

		if (news == SESSION_CLOSED && number >= PORTS)
			hang_up(number);
		else if (news == SESSION_CLOSED)
			gone_at[number] = sys_now() + GONE_MS;
		if (news == SESSION_CLOSED || news == SESSION_NOTHING)
			return action;
		if (news == SESSION_MORE) {
			gone_at[number] = 0; /* who speaks is there, whatever the kernel has heard */
			continue;
		}
		if (news == SESSION_REQUEST)
			wanted = begin(number, words, count);
		else
			finish(number, 2, "that is no request");
		action = wanted ? wanted : action;
		(void)control_advance();
	}
	if (session->fd >= 0) { /* there may be more, and the edge is gone */
		sys_unwatch(epoll, session->fd);
		(void)sys_watch(epoll, session->fd, WATCHED, epoll_key | number);
	}
	return action;
}

bool control_child(int pid, int status, int signal)
{
	for (unsigned i = 0; i < SESSIONS; i++) {
		if (works[i].job == JOB_EXEC && works[i].command.pid == pid) {
			works[i].command.pid = 0;
			works[i].command.status = signal ? 128 + signal : status;
			return true;
		}
	}
	return false;
}

static void send_log(unsigned number)
{
	struct work *work = &works[number];
	char bytes[SESSION_PIECE];

	while (session_has_room(&sessions[number])) {
		bool first = !work->position;
		uint64_t skipped = 0;
		size_t length = log_copy(work->unit, &work->position, bytes, sizeof bytes, &skipped);
		TEXT(note, 64);

		if (skipped && !first) {
			text_add(&note, "(bytes lost: ");
			text_add_number(&note, (int64_t)skipped);
			text_add(&note, ")\n");
			session_say(&sessions[number], "err", note.data, note.length);
		}
		if (!length)
			break;
		if (session_has_room(&sessions[number]))
			session_say(&sessions[number], "out", bytes, length);
		else
			work->position -= length;
	}
	if (work->job == JOB_LOGS && session_has_room(&sessions[number]))
		finish(number, 0, "");
}

static void advance(unsigned number)
{
	struct work *work = &works[number];
	const struct unit *unit = &boot->table.units[work->unit];

	switch (work->job) {
	case JOB_NONE:
		break;
	case JOB_LIST:
		while (work->unit < boot->table.unit_count && session_has_room(&sessions[number])) {
			tell_state(&sessions[number], &boot->table.units[work->unit], work->unit);
			work->unit++;
		}
		if (work->unit == boot->table.unit_count && session_has_room(&sessions[number]))
			finish(number, 0, "");
		break;
	case JOB_LOGS:
	case JOB_FOLLOW:
		send_log(number);
		break;
	case JOB_START:
		if (unit->starts > work->starts && unit->is_ready && unit->state == UNIT_RUNNING)
			finish(number, 0, "");
		else if (unit->starts > work->starts && unit->outcome != OUTCOME_NONE)
			finish(number, 1, "it does not stay up");
		break;
	case JOB_STOP:
		if (unit->state == UNIT_ENDED)
			finish(number, 0, "");
		break;
	case JOB_EXEC:
		if (command_pass_on(&work->command, &sessions[number]))
			finish(number, work->command.status, "");
		break;
	}
}

int64_t control_advance(void)
{
	int64_t next = NEVER;

	for (unsigned i = 0; i < SESSIONS; i++) {
		size_t before;

		if (sessions[i].fd < 0)
			continue;
		if (i < PORTS && gone_at[i] && gone_at[i] <= sys_now()) {
			gone_at[i] = 0;
			if (sys_hung_up(sessions[i].fd))
				hang_up(i);
		}
		if (i < PORTS && gone_at[i] && gone_at[i] < next)
			next = gone_at[i];
		do { /* what was sent makes room for more */
			advance(i);
			before = sessions[i].queue.used;
			if (before && session_flush(&sessions[i]) < 0) {
				hang_up(i);
				break;
			}
		} while (sessions[i].queue.used < before && works[i].job != JOB_NONE);
		if (i < PORTS && sessions[i].queue.used && sys_now() + PORT_MS < next)
			next = sys_now() + PORT_MS;
	}
	return next;
}
