/* Records for the host. */
#include "report.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>

#include "../include/layout.h"
#include "console.h"
#include "files.h"
#include "queue.h"
#include "sys.h"
#include "text.h"

#define PORTS "/sys/class/virtio-ports"
#define DETAIL_BYTES 400
#define COMMAND_BYTES 64 /* longer lines from the host are no commands */
#define READS 16         /* at one time */

static char queued[65536];
static struct queue queue = {.data = queued, .size = sizeof queued};
static int epoll = -1, port = -1;
static uint64_t epoll_key;
static bool connected;
static char command[COMMAND_BYTES];
static size_t command_bytes;

static const char *const action_words[] = {"", "poweroff", "reboot", "halt"};

const char *action_word(enum action action)
{
	return action_words[action];
}

void report_setup(int the_epoll, uint64_t key)
{
	epoll = the_epoll;
	epoll_key = key;
}

bool report_connected(void)
{
	return connected;
}

bool report_sent(void)
{
	return !connected || !queue.used;
}

static void send(void)
{
	if (port < 0)
		return;
	connected = queue_flush(&queue, port) == 0 && !sys_hung_up(port);
}

static bool is_ours(const char *folder, const char *name, void *context)
{
	struct text *ret = context;
	char found[128];
	TEXT(path, 300);

	text_join(&path, folder, "/", name, "/name", NULL);
	if (file_read(path.data, found, sizeof found) < 0 || strcmp(found, REPORT_PORT) != 0)
		return true;
	text_join(ret, "/dev/", name, NULL);
	return false; /* look no further */
}

void report_find(void)
{
	TEXT(path, 300);

	if (port >= 0)
		return;
	if (!file_kernel_word(REPORT_WORD, &path))
		(void)file_list(PORTS, is_ours, &path);
	if (!path.length)
		return;
	port = sys_open(path.data, O_RDWR | O_NONBLOCK, 0);
	if (port < 0 || sys_raw_terminal(port) < 0) {
		SAY("cannot use the report port ", path.data);
		sys_close(port);
		port = -1;
		return;
	}
	/* Edge-triggered: as long as nobody is on the other side a port is "hung up" all the time. */
	(void)sys_watch(epoll, port, EPOLLIN | EPOLLOUT | EPOLLET, epoll_key);
	send();
}

static enum action take_command(void)
{
	command[command_bytes] = '\0';
	for (unsigned i = ACTION_POWEROFF; i <= ACTION_HALT; i++)
		if (strcmp(command, action_words[i]) == 0)
			return (enum action)i;
	return ACTION_NONE;
}

enum action report_ready(void)
{
	enum action action = ACTION_NONE;
	char buffer[256];

	for (int i = 0; i < READS; i++) {
		ssize_t done = sys_read(port, buffer, sizeof buffer);

		for (ssize_t j = 0; j < done; j++) {
			if (buffer[j] == '\n') {
				enum action wanted = take_command();

				action = wanted ? wanted : action;
				command_bytes = 0;
			} else if (buffer[j] != '\r') {
				/* a line that is too long keeps its last byte wrong, so it matches nothing */
				command[command_bytes] = buffer[j] ? buffer[j] : '?';
				command_bytes += command_bytes < COMMAND_BYTES - 2;
			}
		}
		if (done <= 0) {
			send();
			return action;
		}
	}
	/* There may be more, and the edge is gone: watching anew gives another one. */
	sys_unwatch(epoll, port);
	(void)sys_watch(epoll, port, EPOLLIN | EPOLLOUT | EPOLLET, epoll_key);
	send();
	return action;
}

static struct text begin(char *buffer, size_t size, const char *event)
{
	struct text line = text_in(buffer, size);

	text_add(&line, "{\"t\":");
	text_add_number(&line, sys_now());
	text_join(&line, ",\"event\":\"", event, "\"", NULL);
	return line;
}

static void add_word(struct text *line, const char *key, const char *value, size_t limit)
{
	text_join(line, ",\"", key, "\":", NULL);
	text_add_json(line, value, limit);
}

static void add_number(struct text *line, const char *key, int64_t value)
{
	text_join(line, ",\"", key, "\":", NULL);
	text_add_number(line, value);
}

static void end(struct text *line)
{
	text_add(line, "}\n");
	if (!line->cut)
		(void)queue_add(&queue, line->data, line->length);
	send();
}

#define BEGIN(line, event)                 \
	char line##_buffer[MAX_REPORT_LINE + 1]; \
	struct text line = begin(line##_buffer, sizeof line##_buffer, event)

void report_boot(const char *state, const char *detail)
{
	BEGIN(line, "boot");

	add_word(&line, "state", state, 32);
	if (*detail)
		add_word(&line, "detail", detail, DETAIL_BYTES);
	end(&line);
}

void report_up(unsigned services, unsigned failed)
{
	int64_t total = 0, available = 0;
	BEGIN(line, "boot");

	add_word(&line, "state", "ready", 32);
	add_number(&line, "services", services);
	add_number(&line, "failed", failed);
	if (sys_memory(&total, &available) == 0) {
		add_number(&line, "mem_total_kib", total);
		add_number(&line, "mem_available_kib", available);
	}
	end(&line);
}

void report_unit(const struct unit *unit, const char *section, const char *detail)
{
	TEXT(name, MAX_NAME + 32);
	BEGIN(line, "unit");

	text_join(&name, section, "/", unit->name, NULL);
	add_word(&line, "unit", name.data, 300);
	add_word(&line, "state", unit_word(unit), 32);
	if (unit->outcome != OUTCOME_NONE) {
		if (unit->signal)
			add_number(&line, "signal", unit->signal);
		else
			add_number(&line, "status", unit->status);
		if (*detail)
			add_word(&line, "detail", detail, DETAIL_BYTES);
	}
	end(&line);
}

void report_phase(const char *phase)
{
	BEGIN(line, "phase");

	add_word(&line, "phase", phase, 32);
	end(&line);
}

void report_power(enum action action)
{
	BEGIN(line, "power");

	add_word(&line, "action", action_word(action), 32);
	end(&line);
}
