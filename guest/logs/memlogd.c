/*
 * memlogd: keeps the last lines of everybody in memory, for whoever asks.  Sockets, options and formats are
 * upstream's.
 *
 *   memlogd [-max-lines N] [-max-line-len BYTES] [-socket-log PATH] [-socket-query PATH]
 *
 * Who sends a name with a descriptor to the first socket (datagrams, SCM_RIGHTS) has it read until its end.  The units
 * of PID 1 are read from its files.  Who sends a byte to the second socket - 0: what is there, 1: what comes,
 * 2: both - gets lines of JSON: {"time":…,"source":…,"msg":…}, and "file" when the line is in that file already.
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#include "logs.h"
#include "memlogd.h"

#define MAX_WRITERS 256
#define MAX_READERS 16
#define FIRST_READER (2 + MAX_WRITERS)
#define MAX_OUT (8 * MAX_LINE + 1024)

struct entry {
	int64_t at;
	char *source, *file; /* file: NULL for none; all in one piece with msg */
	char *msg;
	size_t length;
};

struct writer {
	int fd; /* -1: free */
	char name[MAX_NAME];
	char line[MAX_LINE];
	size_t length;
};

struct reader {
	int fd; /* -1: free */
	bool asked, follows;
	uint64_t next;       /* the line it gets next */
	char out[MAX_OUT];   /* of a line, what has not been sent */
	size_t length, sent;
};

static struct entry *ring;
static uint64_t said; /* lines since the start; the ring has the last of them */
static int64_t most_lines = 5000, most_bytes = 1024;
static struct writer writers[MAX_WRITERS];
static struct reader readers[MAX_READERS];

static void keep(const char *source, const char *file, const char *line, size_t length)
{
	struct entry *entry = &ring[said % (uint64_t)most_lines];
	size_t name = strlen(source) + 1, path = file ? strlen(file) + 1 : 0;
	size_t bytes = length < (size_t)most_bytes ? length : (size_t)most_bytes;

	free(entry->source);
	*entry = (struct entry){.at = now_ms(), .source = malloc(name + path + bytes)};
	said++;
	if (!entry->source)
		return; /* this line only is lost */
	memcpy(entry->source, source, name);
	entry->file = file ? memcpy(entry->source + name, file, path) : NULL;
	entry->msg = memcpy(entry->source + name + path, line, bytes);
	entry->length = bytes;
}

static bool keep_unit(void *context, const struct source *source, const char *line, size_t length)
{
	(void)context;
	keep(source->name, source->path, line, length);
	return true;
}

/* A file that logwrite makes of what we were given is no unit's. */
static bool was_given(const char *name)
{
	for (int i = 0; i < MAX_WRITERS; i++)
		if (strcmp(writers[i].name, name) == 0)
			return true;
	return false;
}

static void read_units(void)
{
	static struct sources sources;
	static struct cursor cursors[MAX_SOURCES];

	sources_find(&sources, "");
	for (unsigned i = 0; i < sources.count; i++)
		if (!was_given(sources.list[i].name))
			source_read(&sources.list[i], &cursors[i], false, keep_unit, NULL);
}

static void read_writer(struct writer *from)
{
	char piece[4096];
	ssize_t got = read(from->fd, piece, sizeof piece);

	if (got < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	for (ssize_t i = 0; i < got; i++) {
		if (piece[i] != '\n')
			from->line[from->length++] = piece[i];
		if (piece[i] == '\n' || from->length == sizeof from->line) {
			keep(from->name, NULL, from->line, from->length);
			from->length = 0;
		}
	}
	if (got > 0)
		return;
	if (from->length)
		keep(from->name, NULL, from->line, from->length);
	(void)close(from->fd);
	from->fd = -1; /* its name stays until another needs the place */
}

static void take_writer(int fd, const char *name, size_t length)
{
	for (int i = 0; i < MAX_WRITERS; i++) {
		struct writer *writer = &writers[i];

		if (writer->fd >= 0)
			continue;
		*writer = (struct writer){.fd = fd};
		memcpy(writer->name, name, length < sizeof writer->name ? length : sizeof writer->name - 1);
		for (char *s = writer->name; *s; s++) /* it becomes the name of a file */
			if (*s == '/' || *s == '\n')
				*s = '_';
		(void)fcntl(fd, F_SETFL, O_NONBLOCK);
		return;
	}
	fprintf(stderr, "too many logs: %.*s is not read\n", (int)length, name);
	(void)close(fd);
}

static void accept_writer(int socket)
{
	union {
		struct cmsghdr head;
		char room[CMSG_SPACE(sizeof(int) * 8)];
	} control = {0};
	char name[MAX_NAME];
	struct iovec part = {name, sizeof name};
	struct msghdr message = {
		.msg_iov = &part, .msg_iovlen = 1, .msg_control = &control, .msg_controllen = sizeof control,
	};
	ssize_t got = recvmsg(socket, &message, MSG_CMSG_CLOEXEC | MSG_DONTWAIT);
	struct cmsghdr *rights = got < 0 ? NULL : CMSG_FIRSTHDR(&message);
	size_t count = rights ? (rights->cmsg_len - CMSG_LEN(0)) / sizeof(int) : 0;

	if (!rights || rights->cmsg_level != SOL_SOCKET || rights->cmsg_type != SCM_RIGHTS)
		return;
	for (size_t i = 0; i < count; i++) {
		int fd;

		memcpy(&fd, CMSG_DATA(rights) + i * sizeof fd, sizeof fd);
		if (i || got == 0)
			(void)close(fd); /* there is one for a name */
		else
			take_writer(fd, name, (size_t)got);
	}
}

static void accept_reader(int socket)
{
	int fd = accept4(socket, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);

	for (int i = 0; fd >= 0 && i < MAX_READERS; i++) {
		if (readers[i].fd >= 0)
			continue;
		readers[i] = (struct reader){.fd = fd};
		return;
	}
	if (fd >= 0)
		(void)close(fd);
}

static void end_reader(struct reader *to)
{
	(void)close(to->fd);
	to->fd = -1;
}

static void read_reader(struct reader *to)
{
	uint64_t there = said < (uint64_t)most_lines ? said : (uint64_t)most_lines;
	unsigned char mode = 0;
	ssize_t got = recv(to->fd, &mode, 1, 0);

	if (got < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	if (got <= 0 ? !to->asked || to->follows : mode > 2) {
		end_reader(to);
	} else if (got > 0 && !to->asked) {
		to->asked = true;
		to->follows = mode > 0;
		to->next = mode == 1 ? said : said - there;
	}
}

static void format(struct reader *to, const struct entry *entry)
{
	char time[TIME_BYTES];
	size_t size = sizeof to->out;

	to->sent = to->length = 0;
	if (!entry->source)
		return;
	format_time(entry->at, time);
	to->length = (size_t)snprintf(to->out, size, "{\"time\":\"%s\",\"source\":\"", time);
	to->length += json_escape(entry->source, strlen(entry->source), to->out + to->length, size - to->length);
	to->length += (size_t)snprintf(to->out + to->length, size - to->length, "\",\"msg\":\"");
	to->length += json_escape(entry->msg, entry->length, to->out + to->length, size - to->length - 400);
	if (entry->file) {
		to->length += (size_t)snprintf(to->out + to->length, size - to->length, "\",\"file\":\"");
		to->length += json_escape(entry->file, strlen(entry->file), to->out + to->length, size - to->length);
	}
	to->length += (size_t)snprintf(to->out + to->length, size - to->length, "\"}\n");
}

/* As many lines as it takes now.  One that is too slow misses those that the ring has lost. */
static void serve_reader(struct reader *to)
{
	while (to->asked) {
		ssize_t done;

		if (to->sent == to->length) {
			if (to->next == said) {
				if (!to->follows)
					end_reader(to);
				return;
			}
			if (said - to->next > (uint64_t)most_lines)
				to->next = said - (uint64_t)most_lines;
			format(to, &ring[to->next++ % (uint64_t)most_lines]);
			continue;
		}
		done = send(to->fd, to->out + to->sent, to->length - to->sent, MSG_NOSIGNAL);
		if (done < 0) {
			if (errno != EAGAIN && errno != EINTR)
				end_reader(to);
			return;
		}
		to->sent += (size_t)done;
	}
}

static int listen_at(const char *path, int type)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	int fd = socket(AF_UNIX, type | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

	if (snprintf(address.sun_path, sizeof address.sun_path, "%s", path) >= (int)sizeof address.sun_path)
		give_up(2, "%s is too long for a socket", path);
	(void)unlink(path);
	if (fd < 0 || bind(fd, (struct sockaddr *)&address, sizeof address) < 0 || chmod(path, 0600) < 0 ||
	    (type == SOCK_STREAM && listen(fd, 64) < 0))
		give_up(1, "cannot listen at %s: %s", path, strerror(errno));
	return fd;
}

static void work(struct pollfd polls[static FIRST_READER + MAX_READERS])
{
	for (int i = 0; i < MAX_WRITERS; i++)
		polls[2 + i] = (struct pollfd){.fd = writers[i].fd, .events = POLLIN};
	for (int i = 0; i < MAX_READERS; i++) {
		bool busy = readers[i].asked && (readers[i].sent < readers[i].length || readers[i].next < said);

		polls[FIRST_READER + i] = (struct pollfd){
			.fd = readers[i].fd, .events = (short)(busy ? POLLIN | POLLOUT : POLLIN),
		};
	}
	if (poll(polls, FIRST_READER + MAX_READERS, POLL_MS) < 0)
		return;
	if (polls[0].revents)
		accept_writer(polls[0].fd);
	for (int i = 0; i < MAX_WRITERS; i++)
		if (polls[2 + i].revents && polls[2 + i].fd >= 0)
			read_writer(&writers[i]);
	read_units();
	for (int i = 0; i < MAX_READERS; i++) {
		if (polls[FIRST_READER + i].revents && polls[FIRST_READER + i].fd >= 0)
			read_reader(&readers[i]);
		if (readers[i].fd >= 0)
			serve_reader(&readers[i]);
	}
	if (polls[1].revents)
		accept_reader(polls[1].fd);
}

int memlogd_main(int argc, char *argv[])
{
	static struct pollfd polls[FIRST_READER + MAX_READERS];
	const char *log = LOG_SOCKET, *query = QUERY_SOCKET, *value;

	for (int i = 1; i < argc; i++) {
		if ((value = option("max-lines", argc, argv, &i)))
			most_lines = parse_number(value, 1, 1000000, "-max-lines");
		else if ((value = option("max-line-len", argc, argv, &i)))
			most_bytes = parse_number(value, 1, MAX_LINE, "-max-line-len");
		else if ((value = option("socket-log", argc, argv, &i)))
			log = value;
		else if ((value = option("socket-query", argc, argv, &i)))
			query = value;
		else
			give_up(2, "unknown option %s", argv[i]);
	}
	ring = calloc((size_t)most_lines, sizeof *ring);
	if (!ring)
		give_up(1, "no memory for %lld lines", (long long)most_lines);
	for (int i = 0; i < MAX_WRITERS; i++)
		writers[i].fd = -1;
	for (int i = 0; i < MAX_READERS; i++)
		readers[i].fd = -1;
	polls[0] = (struct pollfd){.fd = listen_at(log, SOCK_DGRAM), .events = POLLIN};
	polls[1] = (struct pollfd){.fd = listen_at(query, SOCK_STREAM), .events = POLLIN};
	for (;;)
		work(polls);
}
