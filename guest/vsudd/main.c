/*
 * vsudd: forwards vsock ports of this machine to sockets in it, and sockets in it to ports of its host.
 *
 *   -inport PORT:unix:PATH    who connects to PORT of this machine is connected to the socket PATH
 *   -outport PORT:unix:PATH   who connects to PATH, which is made, is connected to PORT of the peer
 *   -cid CID                  the peer: the host (2); nobody else may come in, but with "any"
 *
 * Each connection has a process of its own.
 */
#include <ctype.h>
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "vsudd.h"

#define MAX_FORWARDS 64
#define MAX_CONNECTIONS 256
/* The ports of Hyper-V: how its GUIDs end (Linux, net/vmw_vsock/hyperv_transport.c). */
#define HYPERV "-facb-11e6-bd58-64006a7986d3"

struct forward {
	bool in;
	uint32_t port;
	const char *path;
	int fd;
};

static struct forward forwards[MAX_FORWARDS];
static unsigned count;
static uint32_t peer = CID_HOST;
static volatile sig_atomic_t ending;

static _Noreturn __attribute__((format(printf, 2, 3))) void give_up(int status, const char *format, ...)
{
	va_list more;

	fputs("vsudd: ", stderr);
	va_start(more, format);
	vfprintf(stderr, format, more);
	va_end(more);
	fputc('\n', stderr);
	exit(status);
}

static uint32_t parse_number(const char *text, size_t length, int base, const char *whose)
{
	char word[16], *end;
	unsigned long long number;

	(void)snprintf(word, sizeof word, "%.*s", (int)length, text);
	errno = 0;
	number = strtoull(word, &end, base);
	if (!isxdigit((unsigned char)*word) || length >= sizeof word || end != word + length || errno ||
	    number >= UINT32_MAX)
		give_up(2, "%s: \"%.*s\" is no number below 4294967295", whose, (int)length, text);
	return (uint32_t)number;
}

static void add_forward(const char *option, const char *value)
{
	static const char kind[] = ":unix:";
	const char *colon = strstr(value, kind);
	struct forward *made = &forwards[count];

	if (!colon || !colon[sizeof kind - 1])
		give_up(2, "%s: expected PORT:unix:PATH, found \"%s\"", option, value);
	if (count++ == MAX_FORWARDS)
		give_up(2, "more than %d ports", MAX_FORWARDS);
	made->in = option[0] == 'i';
	made->path = colon + sizeof kind - 1;
	if (strlen(made->path) >= sizeof((struct sockaddr_un){0}).sun_path)
		give_up(2, "%s: \"%s\" is too long for a socket", option, made->path);
	made->port = colon - value == 8 + sizeof HYPERV - 1 && strncasecmp(value + 8, HYPERV, sizeof HYPERV - 1) == 0
			     ? parse_number(value, 8, 16, option)
			     : parse_number(value, (size_t)(colon - value), 10, option);
}

/* Go's flags: one dash or two, and the value behind "=" or as the next word. */
static void parse(int argc, char *argv[])
{
	static const char *const options[] = {"inport", "outport", "cid"};

	for (int i = 1; i < argc; i++) {
		const char *word = argv[i] + (argv[i][0] == '-') + (argv[i][0] == '-' && argv[i][1] == '-');
		const char *value = strchr(word, '=');
		size_t length = value ? (size_t)(value++ - word) : strlen(word);
		unsigned which = 0;

		while (which < 3 && (strlen(options[which]) != length || strncmp(options[which], word, length) != 0))
			which++;
		if (word == argv[i] || which == 3)
			give_up(2, "unknown option %s; usage: vsudd [-cid CID|any] -inport|-outport PORT:unix:PATH ...", argv[i]);
		if (!value && !(value = argv[++i]))
			give_up(2, "-%s needs a value", options[which]);
		if (which < 2)
			add_forward(options[which], value);
		else
			peer = strcmp(value, "any") == 0 ? CID_ANYBODY : parse_number(value, strlen(value), 10, "cid");
	}
	if (!count)
		give_up(2, "no -inport and no -outport: nothing to do");
	for (unsigned i = 0; i < count; i++)
		if (!forwards[i].in && peer == CID_ANYBODY)
			give_up(2, "-outport goes to one peer: -cid any cannot be it");
}

static int unix_socket(const char *path, bool listens)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | (listens ? SOCK_NONBLOCK : 0), 0), done;

	if (fd < 0)
		return -errno;
	memcpy(address.sun_path, path, strlen(path));
	done = listens ? bind(fd, (struct sockaddr *)&address, sizeof address)
		       : connect(fd, (struct sockaddr *)&address, sizeof address);
	if (done == 0 && listens)
		done = listen(fd, SOMAXCONN);
	if (done == 0)
		return fd;
	done = -errno;
	(void)close(fd);
	return done;
}

/* A socket that an earlier run has left is in the way; anything else is not ours. */
static void remove_socket(const char *path)
{
	struct stat found;

	if (lstat(path, &found) == 0 && S_ISSOCK(found.st_mode))
		(void)unlink(path);
}

static void open_all(void)
{
	for (unsigned i = 0; i < count; i++) {
		struct forward *one = &forwards[i];

		if (!one->in)
			remove_socket(one->path);
		one->fd = one->in ? vsock_listen(one->port) : unix_socket(one->path, true);
		if (one->fd < 0 && one->in)
			give_up(1, "port %u: %s", one->port, strerror(-one->fd));
		if (one->fd < 0)
			give_up(1, "%s: %s", one->path, strerror(-one->fd));
		printf("vsudd: %s %u %s %s\n", one->in ? "port" : "to port", one->port, one->in ? "to" : "from", one->path);
	}
	(void)fflush(stdout);
}

static int accept_one(const struct forward *one)
{
	uint32_t cid = 0;
	int fd = one->in ? vsock_accept(one->fd, &cid) : accept4(one->fd, NULL, NULL, SOCK_CLOEXEC);

	if (fd >= 0 && one->in && peer != CID_ANYBODY && cid != peer) {
		fprintf(stderr, "vsudd: port %u: refused %u, who is not %u\n", one->port, cid, peer);
		(void)close(fd);
		return -1;
	}
	return fd;
}

static _Noreturn void serve(const struct forward *one, int fd)
{
	int other;

	(void)prctl(PR_SET_PDEATHSIG, SIGKILL);
	for (unsigned i = 0; i < count; i++)
		(void)close(forwards[i].fd);
	other = one->in ? unix_socket(one->path, false) : vsock_connect(peer, one->port);
	if (other < 0) {
		if (one->in)
			fprintf(stderr, "vsudd: %s: %s\n", one->path, strerror(-other));
		else
			fprintf(stderr, "vsudd: port %u of %u: %s\n", one->port, peer, strerror(-other));
		_exit(1);
	}
	relay(fd, other);
	_exit(0);
}

static bool start(const struct forward *one)
{
	int fd = accept_one(one);
	pid_t child;

	if (fd < 0)
		return false;
	child = fork();
	if (child == 0)
		serve(one, fd);
	if (child < 0)
		fprintf(stderr, "vsudd: no process for a connection: %s\n", strerror(errno));
	(void)close(fd);
	return child > 0;
}

static void heed(int signal)
{
	if (signal != SIGCHLD)
		ending = 1;
}

int main(int argc, char *argv[])
{
	const struct sigaction action = {.sa_handler = heed};
	struct pollfd polls[MAX_FORWARDS];
	unsigned connections = 0;
	sigset_t ours, usual;

	parse(argc, argv);
	(void)sigemptyset(&ours);
	for (int i = 0; i < 3; i++) {
		const int each = (const int[]){SIGTERM, SIGINT, SIGCHLD}[i];

		(void)sigaddset(&ours, each);
		(void)sigaction(each, &action, NULL);
	}
	(void)sigprocmask(SIG_BLOCK, &ours, &usual); /* they come while it waits */
	open_all();
	while (!ending) {
		nfds_t watched = connections < MAX_CONNECTIONS ? count : 0;

		for (unsigned i = 0; i < count; i++)
			polls[i] = (struct pollfd){.fd = forwards[i].fd, .events = POLLIN};
		if (ppoll(polls, watched, NULL, &usual) < 0)
			watched = 0;
		while (connections && waitpid(-1, NULL, WNOHANG) > 0)
			connections--;
		for (unsigned i = 0; i < watched; i++)
			if (polls[i].revents && connections < MAX_CONNECTIONS)
				connections += start(&forwards[i]);
	}
	for (unsigned i = 0; i < count; i++)
		if (!forwards[i].in)
			remove_socket(forwards[i].path);
	return 0;
}
