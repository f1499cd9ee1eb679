/*
 * vmm: the first process of a container that is a virtual machine.
 *
 *   vmm UNIT running|ready QEMU [ARGUMENT...]
 *
 * QEMU finds two sockets, the descriptors 3 and 4: on the first the machine's PID 1 reports, on the
 * second it is asked (guest/README.md).  What UNIT says there is our output, and what QEMU says beside it.  The
 * machine ends when the unit has ended, and the unit is asked to end when we get SIGTERM; the unit's status is
 * ours.  Once the unit is in the state named, whoever listens at $NOTIFY_SOCKET is told that we are ready.
 *
 * What comes from the machine is not to be trusted: every line is bounded, and nothing it says has an effect but on our
 * own output and status.
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "../include/layout.h"

#define FIRST_FD 3   /* what QEMU's arguments name */
#define OURS 16      /* our descriptors lie above */
#ifndef END_S /* tests have less */
#define END_S 15 /* from the unit's end to that of the machine */
#endif
#define FAILED 1
#define NOT_FOUND 127

/* What comes on a port: whole lines, or of a frame what is left of it. */
struct port {
	int fd;
	size_t used;
	bool skips;        /* the line is too long: its rest is dropped */
	size_t left;       /* bytes of a frame to be passed on */
	char line[MAX_REPORT_LINE + 1];
};

struct machine {
	struct port report, control;
	const char *unit, *wanted; /* the state that makes us ready */
	pid_t qemu;
	bool ready, asked, unit_ended;
	int status; /* of the unit */
	time_t deadline; /* 0: none */
};

static volatile sig_atomic_t ended, stopping;

static void on_child(int signal)
{
	(void)signal;
	ended = 1;
}

static void on_stop(int signal)
{
	(void)signal;
	stopping = 1;
}

static _Noreturn void give_up(const char *what)
{
	fprintf(stderr, "vmm: %s: %s\n", what, strerror(errno));
	exit(FAILED);
}

static time_t now(void)
{
	struct timespec time;

	(void)clock_gettime(CLOCK_MONOTONIC, &time);
	return time.tv_sec;
}

static void write_all(int fd, const char *bytes, size_t length)
{
	while (length) {
		ssize_t done = write(fd, bytes, length);

		if (done < 0 && errno == EINTR)
			continue;
		if (done <= 0)
			return; /* nobody reads: the machine goes on all the same */
		bytes += done;
		length -= (size_t)done;
	}
}

/* sd_notify(3) */
static void tell_ready(void)
{
	static const char message[] = "READY=1";
	const char *path = getenv("NOTIFY_SOCKET");
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	int fd;

	if (!path || strlen(path) >= sizeof address.sun_path)
		return;
	memcpy(address.sun_path, path, strlen(path));
	fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	if (fd < 0 || sendto(fd, message, sizeof message - 1, 0, (const struct sockaddr *)&address,
			     sizeof address) < 0)
		fprintf(stderr, "vmm: cannot tell that the unit is ready: %s\n", strerror(errno));
	if (fd >= 0)
		(void)close(fd);
}

/* Lets the machine's PID 1 stop every unit and reset the machine, which ends QEMU. */
static void ask_to_end(struct machine *machine)
{
	static const char word[] = "reboot\n";

	if (!machine->asked)
		write_all(machine->report.fd, word, sizeof word - 1);
	machine->asked = true;
}

static void end_unit(struct machine *machine, int status)
{
	machine->unit_ended = true;
	machine->status = status;
	machine->deadline = now() + END_S;
	ask_to_end(machine);
}

static bool skip(const char **at, const char *word)
{
	size_t length = strlen(word);

	if (strncmp(*at, word, length) != 0)
		return false;
	*at += length;
	return true;
}

static int number_of(const char *at)
{
	long number = strtol(at, NULL, 10);

	return number < 0 || number > 255 ? FAILED : (int)number;
}

/* A record as guest/init/report.c writes it; everything else is passed over. */
static void take_record(struct machine *machine, const char *at)
{
	if (!skip(&at, "{\"t\":"))
		return;
	at += strspn(at, "0123456789");
	if (skip(&at, ",\"event\":\"boot\",\"state\":\"failed\"")) {
		end_unit(machine, FAILED); /* PID 1 has told why on the console */
		return;
	}
	if (!skip(&at, ",\"event\":\"unit\",\"unit\":\"") || !skip(&at, machine->unit) ||
	    !skip(&at, "\",\"state\":\""))
		return;
	if (skip(&at, machine->wanted) && *at == '"' && !machine->ready) {
		machine->ready = true;
		tell_ready();
	} else if (skip(&at, "exited\"") || skip(&at, "failed\"") || skip(&at, "stopped\"")) {
		if (skip(&at, ",\"signal\":"))
			end_unit(machine, 128 + number_of(at));
		else
			end_unit(machine, skip(&at, ",\"status\":") ? number_of(at) : FAILED);
	}
}

/* The head of a frame: "log out LENGTH" or "log err LENGTH". */
static void take_head(struct port *port, const char *at)
{
	if (skip(&at, "log out ") || skip(&at, "log err "))
		port->left = strtoul(at, NULL, 10);
}

/* Takes one byte of a line; true when the line is whole. */
static bool add_byte(struct port *port, char byte)
{
	bool whole = byte == '\n' && !port->skips;

	if (byte == '\n') {
		port->line[port->used] = '\0';
		port->used = 0;
		port->skips = false;
	} else if (port->used + 1 < sizeof port->line) {
		port->line[port->used++] = byte;
	} else {
		port->skips = true;
	}
	return whole;
}

static void take(struct machine *machine, struct port *port, const char *bytes, size_t length)
{
	while (length) {
		if (port->left) {
			size_t piece = port->left < length ? port->left : length;

			write_all(STDOUT_FILENO, bytes, piece);
			port->left -= piece;
			bytes += piece;
			length -= piece;
			continue;
		}
		length--;
		if (!add_byte(port, *bytes++))
			continue;
		if (port == &machine->report)
			take_record(machine, port->line);
		else
			take_head(port, port->line);
	}
}

/* Reads what there is; false when there is no more to come. */
static bool read_port(struct machine *machine, struct port *port)
{
	char bytes[4096];

	while (true) {
		ssize_t done = read(port->fd, bytes, sizeof bytes);

		if (done < 0)
			return errno == EINTR || errno == EAGAIN;
		if (done == 0)
			return false;
		take(machine, port, bytes, (size_t)done);
	}
}

/* A socket whose other end becomes the descriptor NUMBER of QEMU. */
static int make_port(int number)
{
	int ends[2], ours;

	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) < 0)
		give_up("cannot make a socket");
	ours = fcntl(ends[0], F_DUPFD_CLOEXEC, OURS);
	if (ours < 0 || fcntl(ours, F_SETFL, O_NONBLOCK) < 0)
		give_up("cannot make a socket");
	if (ends[1] != number && (dup2(ends[1], number) < 0 || close(ends[1]) < 0))
		give_up("cannot make a socket");
	if (ends[0] != number)
		(void)close(ends[0]);
	if (fcntl(number, F_SETFD, 0) < 0)
		give_up("cannot make a socket");
	return ours;
}

static pid_t start(char *argv[], const sigset_t *usual)
{
	pid_t pid = fork();

	if (pid < 0)
		give_up("cannot start QEMU");
	if (pid == 0) {
		(void)sigprocmask(SIG_SETMASK, usual, NULL);
		(void)execv(argv[0], argv);
		fprintf(stderr, "vmm: cannot start %s: %s\n", argv[0], strerror(errno));
		_exit(NOT_FOUND);
	}
	(void)close(FIRST_FD);
	(void)close(FIRST_FD + 1);
	return pid;
}

static void follow(struct machine *machine)
{
	char line[MAX_NAME + 64];
	int length = snprintf(line, sizeof line, "log logs %s follow\n", machine->unit);

	if (length > 0 && (size_t)length < sizeof line)
		write_all(machine->control.fd, line, (size_t)length);
}

/* Until QEMU is gone and all that it had to say is read; returns its wait status. */
static int attend(struct machine *machine, const sigset_t *usual)
{
	struct pollfd polled[] = {
		{.fd = machine->report.fd, .events = POLLIN}, {.fd = machine->control.fd, .events = POLLIN},
	};
	int status = 0;

	while (!ended || waitpid(machine->qemu, &status, WNOHANG) != machine->qemu) {
		const struct timespec second = {.tv_sec = 1};

		ended = 0;
		if (stopping)
			ask_to_end(machine);
		if (machine->deadline && now() > machine->deadline)
			(void)kill(machine->qemu, SIGKILL);
		if (ppoll(polled, 2, machine->deadline ? &second : NULL, usual) < 0)
			continue;
		if (polled[0].revents && !read_port(machine, &machine->report))
			polled[0].fd = -1;
		if (polled[1].revents && !read_port(machine, &machine->control))
			polled[1].fd = -1;
	}
	(void)read_port(machine, &machine->control);
	(void)read_port(machine, &machine->report);
	return status;
}

static int outcome(const struct machine *machine, int status)
{
	if (machine->unit_ended)
		return machine->status;
	if (WIFSIGNALED(status))
		fprintf(stderr, "vmm: QEMU was ended by signal %d\n", WTERMSIG(status));
	else if (WEXITSTATUS(status))
		fprintf(stderr, "vmm: QEMU ended with status %d\n", WEXITSTATUS(status));
	else if (!machine->asked)
		fprintf(stderr, "vmm: the machine crashed\n");
	else
		return 0;
	return FAILED;
}

int main(int argc, char *argv[])
{
	struct machine machine = {0};
	struct sigaction child = {.sa_handler = on_child}, stop = {.sa_handler = on_stop};
	sigset_t caught, usual;

	if (argc < 4) {
		fputs("usage: vmm UNIT running|ready QEMU [ARGUMENT...]\n", stderr);
		return 2;
	}
	machine.unit = argv[1];
	machine.wanted = argv[2];
	(void)signal(SIGPIPE, SIG_IGN);
	(void)sigaction(SIGCHLD, &child, NULL);
	(void)sigaction(SIGTERM, &stop, NULL);
	(void)sigaction(SIGINT, &stop, NULL);
	sigemptyset(&caught);
	sigaddset(&caught, SIGCHLD);
	sigaddset(&caught, SIGTERM);
	sigaddset(&caught, SIGINT);
	(void)sigprocmask(SIG_BLOCK, &caught, &usual);
	machine.report.fd = make_port(FIRST_FD);
	machine.control.fd = make_port(FIRST_FD + 1);
	machine.qemu = start(argv + 3, &usual);
	follow(&machine);
	return outcome(&machine, attend(&machine, &usual));
}
