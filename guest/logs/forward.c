/*
 * log-forward FILE [FOLDER]: passes on what units say, to syslog servers and to files; in FOLDER,
 * which is in memory as the logs are, it keeps how far each receiver is.
 *
 * Each line of FILE is a receiver, which a process of its own serves; words have one space between:
 *
 *   udp HOST PORT FACILITY RATE [NAME...]      RFC 5424 over RFC 5426
 *   tcp HOST PORT FACILITY RATE [NAME...]      RFC 5424, octets counted as in RFC 6587
 *   unix PATH - FACILITY RATE [NAME...]        RFC 5424 in datagrams, else as with tcp
 *   file PATH BYTES FILES RATE [NAME...]       TIME SECTION/NAME LINE; rotated
 *
 * RATE is lines a second of each unit; what comes faster waits in the files of PID 1.  Without names
 * all units are meant but this one.
 */
#include <errno.h>
#include <netdb.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "logs.h"

#define SELF "log-forward"
#define MAX_RECEIVERS 16
#define MAX_WORDS 72 /* five of the receiver, and 64 names of log files */
#define MAX_CONFIG_LINE 9216
#define MAX_MESSAGE (MAX_LINE + 512)
#define SEND_S 10
#define FIRST_REST_MS 500
#define MOST_REST_MS 30000
#define INFO 6

enum kind { UDP, TCP, UNIX, FILES };
static const char *const kinds[] = {"udp", "tcp", "unix", "file"};

struct receiver {
	enum kind kind;
	char *words[MAX_WORDS];
	unsigned count;
	int facility;
	int64_t rate;
	struct rotated file;
	int fd;
	bool stream;                       /* messages need a length */
	int64_t rest_ms, again_at;         /* after it could not be reached */
	struct cursor *cursors[MAX_SOURCES];
	int64_t tokens[MAX_SOURCES];       /* thousandths of lines that may go now */
	int64_t filled_at;
	char host[65];
};

static volatile sig_atomic_t ending;

static void end(int signal)
{
	(void)signal;
	ending = 1;
}

static bool is_wanted(const struct receiver *to, const struct source *source)
{
	for (unsigned i = 5; i < to->count; i++)
		if (strcmp(to->words[i], source->name) == 0)
			return true;
	return to->count == 5 && strcmp(source->name, SELF) != 0;
}

/* It cannot be reached: later again.  The first of a row of times is told. */
static void put_off(struct receiver *to, const char *why)
{
	if (to->fd >= 0)
		(void)close(to->fd);
	to->fd = -1;
	if (!to->rest_ms)
		fprintf(stderr, "%s %s: %s; trying again\n", to->words[0], to->words[1], why);
	to->rest_ms = to->rest_ms ? to->rest_ms * 2 : FIRST_REST_MS;
	if (to->rest_ms > MOST_REST_MS)
		to->rest_ms = MOST_REST_MS;
	to->again_at = now_ms() + to->rest_ms;
}

static int open_socket(int family, int type)
{
	const struct timeval patience = {.tv_sec = SEND_S};
	int fd = socket(family, type | SOCK_CLOEXEC, 0);

	if (fd >= 0) /* it holds for connecting, too (socket(7)) */
		(void)setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof patience);
	return fd;
}

static bool connect_unix(struct receiver *to)
{
	static const int types[] = {SOCK_DGRAM, SOCK_STREAM};
	struct sockaddr_un address = {.sun_family = AF_UNIX};

	(void)snprintf(address.sun_path, sizeof address.sun_path, "%s", to->words[1]);
	for (int i = 0; i < 2; i++) {
		int fd = open_socket(AF_UNIX, types[i]);

		if (fd >= 0 && connect(fd, (struct sockaddr *)&address, sizeof address) == 0) {
			to->fd = fd;
			to->stream = types[i] == SOCK_STREAM;
			return true;
		}
		if (fd >= 0)
			(void)close(fd);
		if (errno != EPROTOTYPE)
			break;
	}
	put_off(to, strerror(errno));
	return false;
}

static bool connect_inet(struct receiver *to)
{
	const struct addrinfo hint = {.ai_socktype = to->kind == UDP ? SOCK_DGRAM : SOCK_STREAM};
	struct addrinfo *found = NULL;
	int done = getaddrinfo(to->words[1], to->words[2], &hint, &found);

	if (done) {
		put_off(to, gai_strerror(done));
		return false;
	}
	errno = EADDRNOTAVAIL;
	for (const struct addrinfo *one = found; one && to->fd < 0; one = one->ai_next) {
		int fd = open_socket(one->ai_family, one->ai_socktype);

		if (fd >= 0 && connect(fd, one->ai_addr, one->ai_addrlen) == 0)
			to->fd = fd;
		else if (fd >= 0)
			(void)close(fd);
	}
	freeaddrinfo(found);
	if (to->fd < 0)
		put_off(to, strerror(errno));
	return to->fd >= 0;
}

/* Whether lines may go now.  A peer that has closed is found out before, or the first would be lost. */
static bool is_reached(struct receiver *to)
{
	char byte;

	if (to->fd >= 0 && to->stream && recv(to->fd, &byte, 1, MSG_DONTWAIT) == 0)
		put_off(to, "it has closed the connection");
	if (to->kind == FILES || to->fd >= 0)
		return now_ms() >= to->again_at;
	if (now_ms() < to->again_at)
		return false;
	return to->kind == UNIX ? connect_unix(to) : connect_inet(to);
}

/* "<3>" in front of a line is its severity (sd-daemon(3)). */
static int severity(const char **line, size_t *length)
{
	const char *s = *line;

	if (*length < 3 || s[0] != '<' || s[1] < '0' || s[1] > '7' || s[2] != '>')
		return INFO;
	*line += 3;
	*length -= 3;
	return s[1] - '0';
}

static bool send_message(struct receiver *to, const struct source *source, const char *line,
			 size_t length)
{
	char message[MAX_MESSAGE], time[TIME_BYTES], count[16];
	const char *text = line;
	int rank = severity(&text, &length), head;
	struct iovec parts[3] = {{0}};
	struct msghdr whole = {.msg_iov = parts + !to->stream, .msg_iovlen = to->stream ? 3 : 2};
	size_t wanted;

	format_time(now_ms(), time);
	head = snprintf(message, sizeof message, "<%d>1 %s %s %.48s - %s - ", to->facility * 8 + rank,
			time, to->host, source->name, source->section);
	parts[1].iov_base = message;
	parts[1].iov_len = (size_t)head;
	parts[2].iov_base = (void *)(uintptr_t)text;
	parts[2].iov_len = length;
	parts[0].iov_base = count;
	parts[0].iov_len = (size_t)snprintf(count, sizeof count, "%zu ", (size_t)head + length);
	wanted = (size_t)head + length + (to->stream ? parts[0].iov_len : 0);
	if (sendmsg(to->fd, &whole, MSG_NOSIGNAL) == (ssize_t)wanted)
		return true;
	put_off(to, errno ? strerror(errno) : "it takes nothing");
	return false;
}

static bool write_line(struct receiver *to, const struct source *source, const char *line,
		       size_t length)
{
	char text[MAX_MESSAGE], time[TIME_BYTES];
	int used;

	(void)severity(&line, &length);
	format_time(now_ms(), time);
	used = snprintf(text, sizeof text, "%s %s/%s ", time, source->section, source->name);
	memcpy(text + used, line, length); /* MAX_LINE and three short words */
	if (rotated_write(&to->file, text, (size_t)used + length))
		return true;
	put_off(to, strerror(errno));
	return false;
}

struct turn {
	struct receiver *to;
	unsigned number;
};

static bool take(void *context, const struct source *source, const char *line, size_t length)
{
	const struct turn *turn = context;
	struct receiver *to = turn->to;
	int64_t *tokens = &to->tokens[turn->number];
	bool done;

	if (*tokens < 1000 && !ending)
		return false;
	done = to->kind == FILES ? write_line(to, source, line, length)
				 : send_message(to, source, line, length);
	if (!done)
		return false;
	*tokens -= 1000;
	to->rest_ms = 0;
	return true;
}

/* A second's worth may go at once. */
static void fill(struct receiver *to)
{
	int64_t now = now_ms(), passed = now - to->filled_at;

	passed = passed < 0 || passed > 1000 ? 1000 : passed; /* the clock may have been set */
	for (unsigned i = 0; i < MAX_SOURCES; i++) {
		to->tokens[i] += to->rate * passed;
		if (to->tokens[i] > to->rate * 1000)
			to->tokens[i] = to->rate * 1000;
	}
	to->filled_at = now;
}

/* Of whom the positions are: the words of its line, by FNV-1a. */
static uint64_t identity(const struct receiver *to)
{
	uint64_t sum = 14695981039346656037u;

	for (unsigned i = 0; i < to->count; i++)
		for (const char *s = to->words[i]; s == to->words[i] || s[-1]; s++)
			sum = (sum ^ (unsigned char)*s) * 1099511628211u;
	return sum;
}

/* The units that were not there before. */
static void find(struct receiver *to, struct sources *sources, struct positions *positions)
{
	unsigned known = sources->count;

	sources_find(sources, "");
	for (unsigned i = known; i < sources->count; i++)
		to->cursors[i] = positions_of(positions, sources->list[i].path);
}

static _Noreturn void serve(struct receiver *to, struct positions *positions)
{
	static struct sources sources;

	for (bool last = false;; last = ending) {
		const struct timespec pause = {.tv_nsec = POLL_MS * 1000000L};

		find(to, &sources, positions);
		fill(to);
		if (last)
			to->again_at = 0; /* one more try */
		for (unsigned i = 0; i < sources.count; i++) {
			struct turn turn = {to, i};

			if (to->cursors[i] && is_wanted(to, &sources.list[i]) && is_reached(to))
				source_read(&sources.list[i], to->cursors[i], last, take, &turn);
		}
		if (last)
			exit(0);
		if (!ending)
			(void)nanosleep(&pause, NULL);
	}
}

static void check(struct receiver *to, unsigned line)
{
	char whose[32];
	unsigned kind = 0;

	(void)snprintf(whose, sizeof whose, "line %u", line);
	while (kind < 4 && (!to->count || strcmp(to->words[0], kinds[kind]) != 0))
		kind++;
	if (kind == 4 || to->count < 5)
		give_up(2, "%s is no receiver", whose);
	to->kind = (enum kind)kind;
	to->stream = kind == TCP;
	to->rate = parse_number(to->words[4], 1, 1000000, whose);
	to->fd = to->file.fd = -1;
	if (kind != FILES) {
		to->facility = (int)parse_number(to->words[3], 0, 23, whose);
		return;
	}
	to->file.most = parse_number(to->words[2], 1, INT64_MAX, whose);
	to->file.files = (unsigned)parse_number(to->words[3], 1, 1000, whose);
	if (snprintf(to->file.path, sizeof to->file.path, "%s", to->words[1]) >= (int)sizeof to->file.path)
		give_up(2, "%s: the path is too long", whose);
}

static unsigned read_receivers(const char *path, struct receiver *ret)
{
	static char text[MAX_RECEIVERS][MAX_CONFIG_LINE];
	FILE *file = fopen(path, "re");
	unsigned count = 0;

	if (!file)
		give_up(2, "%s: %s", path, strerror(errno));
	for (; count < MAX_RECEIVERS && fgets(text[count], MAX_CONFIG_LINE, file); count++) {
		char *state = NULL;

		for (char *word = strtok_r(text[count], " \n", &state); word; word = strtok_r(NULL, " \n", &state)) {
			if (ret[count].count == MAX_WORDS)
				give_up(2, "line %u has too many words", count + 1);
			ret[count].words[ret[count].count++] = word;
		}
		check(&ret[count], count + 1);
	}
	if (!count || fgetc(file) != EOF)
		give_up(2, "%s: from 1 to %d receivers are possible", path, MAX_RECEIVERS);
	(void)fclose(file);
	return count;
}

static pid_t begin(struct receiver *to, unsigned number, const char *folder)
{
	pid_t parent = getpid(), pid = fork();
	sigset_t none;

	if (pid != 0)
		return pid;
	(void)sigemptyset(&none);
	(void)sigprocmask(SIG_SETMASK, &none, NULL);
	(void)prctl(PR_SET_PDEATHSIG, SIGTERM);
	if (getppid() != parent)
		exit(1);
	if (gethostname(to->host, sizeof to->host) < 0 || !*to->host)
		(void)snprintf(to->host, sizeof to->host, "-");
	serve(to, positions_open(folder, number, identity(to)));
}

int forward_main(int argc, char *argv[])
{
	static struct receiver receivers[MAX_RECEIVERS];
	const struct sigaction act = {.sa_handler = end};
	pid_t pids[MAX_RECEIVERS];
	unsigned count, left;
	sigset_t awaited;
	int worst = 0;

	if (argc != 2 && argc != 3)
		give_up(2, "usage: log-forward FILE [FOLDER]");
	count = left = read_receivers(argv[1], receivers);
	(void)sigaction(SIGTERM, &act, NULL);
	(void)sigaction(SIGCHLD, &act, NULL); /* an ignored one would not wake us */
	(void)sigemptyset(&awaited);
	(void)sigaddset(&awaited, SIGTERM);
	(void)sigaddset(&awaited, SIGCHLD);
	(void)sigprocmask(SIG_BLOCK, &awaited, NULL);
	for (unsigned i = 0; i < count; i++) {
		pids[i] = begin(&receivers[i], i, argv[2]); /* the list ends with NULL */
		if (pids[i] < 0)
			give_up(1, "no process: %s", strerror(errno));
	}
	while (left) {
		bool stop = sigwaitinfo(&awaited, NULL) == SIGTERM;
		int status = 0;

		for (pid_t pid; (pid = waitpid(-1, &status, WNOHANG)) > 0; left--) {
			if (!status)
				continue;
			worst = 1;
			stop = true;
		}
		for (unsigned i = 0; stop && i < count; i++)
			(void)kill(pids[i], SIGTERM); /* nobody else here gets the pid of one that is gone */
	}
	return worst;
}
