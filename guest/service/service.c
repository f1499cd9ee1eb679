/*
 * service: what PID 1 keeps running, for people and scripts in the machine.
 *
 *   service list
 *   service status|start|stop|restart NAME
 *   service logs NAME [follow]
 *   service exec NAME COMMAND [ARGUMENT...]
 *
 * Asks PID 1 through its control socket (guest/README.md) and passes on what it answers; the exit
 * status is that of the answer, 111 when PID 1 cannot be reached.
 */
#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "../include/layout.h"

#define UNREACHABLE 111
#define USAGE 2
#define MAX_REQUEST 4096
#define MAX_FRAME 65536
#define ID "service"

static char request[MAX_REQUEST];
static size_t request_length;

static _Noreturn void give_up(const char *what, const char *why)
{
	fprintf(stderr, "service: %s%s%s\n", what, *why ? ": " : "", why);
	exit(UNREACHABLE);
}

static void add(const char *bytes, size_t length)
{
	if (length > sizeof request - request_length)
		give_up("the command is too long", "");
	memcpy(request + request_length, bytes, length);
	request_length += length;
}

/* A word of a request: what is no plain character becomes %XX. */
static void add_word(const char *word)
{
	add(" ", 1);
	for (; *word; word++) {
		unsigned char c = (unsigned char)*word;
		char code[4];

		if (c > ' ' && c < 0x7f && c != '%') {
			add(word, 1);
		} else {
			snprintf(code, sizeof code, "%%%02x", c);
			add(code, 3);
		}
	}
}

static FILE *ask(int argc, char *argv[])
{
	struct sockaddr_un address = {.sun_family = AF_UNIX, .sun_path = CONTROL_SOCKET};
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	FILE *answer;

	add(ID, sizeof ID - 1);
	for (int i = 0; i < argc; i++)
		add_word(argv[i]);
	add("\n", 1);
	if (fd < 0 || connect(fd, (struct sockaddr *)&address, sizeof address) < 0)
		give_up("cannot reach PID 1 at " CONTROL_SOCKET, strerror(errno));
	for (size_t sent = 0; sent < request_length;) {
		ssize_t done = send(fd, request + sent, request_length - sent, MSG_NOSIGNAL);

		if (done < 0)
			give_up("cannot ask PID 1", strerror(errno));
		sent += (size_t)done;
	}
	answer = fdopen(fd, "r");
	if (!answer)
		give_up("no memory", "");
	return answer;
}

/* The columns of a unit that people read: name, state, pid, starts. */
static void show_unit(const char *line, const char *wanted)
{
	char name[256], state[32];
	long pid = 0, starts = 0;
	const char *slash;

	if (sscanf(line, "%255[^\t]\t%31[^\t]\t%ld\t%ld", name, state, &pid, &starts) != 4)
		return;
	slash = strchr(name, '/');
	if (wanted && strcmp(wanted, name) != 0 && (!slash || strcmp(wanted, slash + 1) != 0))
		return;
	printf("%-32s %-10s %7ld %6ld\n", name, state, pid, starts);
}

/* Passes on the frames of an answer; those of a list as a table. */
static int pass_on(FILE *answer, bool table, const char *wanted)
{
	static char frame[MAX_FRAME + 1];
	char kind[8];
	unsigned long number = 0;

	if (table)
		printf("%-32s %-10s %7s %6s\n", "UNIT", "STATE", "PID", "STARTS");
	while (fscanf(answer, ID " %7s %lu", kind, &number) == 2 && fgetc(answer) == '\n') {
		FILE *out = strcmp(kind, "err") == 0 ? stderr : stdout;

		if (strcmp(kind, "end") == 0)
			return (int)number;
		if (number > MAX_FRAME || fread(frame, 1, number, answer) != number)
			break;
		frame[number] = '\0';
		if (table && out == stdout)
			show_unit(frame, wanted);
		else if (fwrite(frame, 1, number, out) != number || fflush(out))
			return 1;
	}
	give_up("the answer breaks off", "");
}

static _Noreturn void show_usage(void)
{
	fputs("usage: service list | service status|start|stop|restart NAME\n"
	      "       service logs NAME [follow] | service exec NAME COMMAND [ARGUMENT...]\n", stderr);
	exit(USAGE);
}

/* How one unit is, and the last it said. */
static int show_status(char *name)
{
	char list[] = "list", logs[] = "logs";
	char *both[] = {list}, *one[] = {logs, name};
	int status = pass_on(ask(1, both), true, name);

	fflush(stdout);
	request_length = 0;
	return status ? status : pass_on(ask(2, one), false, NULL);
}

int main(int argc, char *argv[])
{
	const char *verb = argc > 1 ? argv[1] : "";

	if (strcmp(verb, "list") == 0 && argc == 2)
		return pass_on(ask(1, argv + 1), true, NULL);
	if (strcmp(verb, "status") == 0 && argc == 3)
		return show_status(argv[2]);
	if (argc < 3)
		show_usage();
	return pass_on(ask(argc - 1, argv + 1), false, NULL);
}
