/*
 * logread [-f|-F] [-socket PATH]      what memlogd has; with -f also what comes, with -F only that
 * logwrite [-log-dir DIR] [-max-log-files N] [-max-log-size BYTES] [-socket PATH]
 *
 * logwrite keeps what comes in DIR/NAME.log, renamed to NAME.log.1 and so on when it is full; what lies in just
 * that file already, for PID 1 has put it there, it leaves alone.
 */
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "logs.h"
#include "memlogd.h"

#define MAX_FILES 512
#define MAX_REPLY (8 * MAX_LINE + 1024)
#define WAIT_S 60

enum mode { DUMP, FOLLOW, BOTH };

struct message {
	char time[TIME_BYTES], source[MAX_NAME], msg[4 * MAX_LINE], file[MAX_PATH_BYTES];
};

const char *option(const char *name, int argc, char *argv[], int *i)
{
	const char *word = argv[*i];
	size_t length = strlen(name);

	if (word[0] != '-')
		return NULL;
	word += word[1] == '-' ? 2 : 1;
	if (strncmp(word, name, length) != 0 || (word[length] && word[length] != '='))
		return NULL;
	if (word[length])
		return word + length + 1;
	if (++*i >= argc)
		give_up(2, "-%s needs a value", name);
	return argv[*i];
}

static FILE *ask(const char *path, enum mode mode, int patience_s)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	const char byte = (char)mode;
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	FILE *reply;

	if (snprintf(address.sun_path, sizeof address.sun_path, "%s", path) >= (int)sizeof address.sun_path)
		give_up(2, "%s is too long for a socket", path);
	while (fd < 0 || connect(fd, (struct sockaddr *)&address, sizeof address) < 0) {
		if (patience_s-- <= 0)
			give_up(1, "cannot reach memlogd at %s: %s", path, strerror(errno));
		(void)sleep(1);
	}
	if (send(fd, &byte, 1, MSG_NOSIGNAL) != 1)
		give_up(1, "cannot ask memlogd: %s", strerror(errno));
	reply = fdopen(fd, "re");
	if (!reply)
		give_up(1, "no memory");
	return reply;
}

static void put(char *ret, size_t size, size_t *used, unsigned code)
{
	char bytes[4];
	size_t count = code < 0x80 ? 1 : code < 0x800 ? 2 : 3;

	if (count == 1)
		bytes[0] = (char)code;
	for (size_t i = count; count > 1 && i-- > 0; code >>= 6)
		bytes[i] = (char)(i ? 0x80 | (code & 0x3f) : (count == 2 ? 0xc0 : 0xe0) | code);
	if (*used + count < size) {
		memcpy(ret + *used, bytes, count);
		*used += count;
	}
}

/* The string member of a line that memlogd wrote; escapes are \uXXXX only, and members have no others in them. */
static bool member(const char *line, const char *name, char *ret, size_t size)
{
	char wanted[32];
	const char *s;
	size_t used = 0;

	(void)snprintf(wanted, sizeof wanted, "\"%s\":\"", name);
	s = strstr(line, wanted);
	ret[0] = '\0';
	if (!s)
		return false;
	for (s += strlen(wanted); *s && *s != '"'; s++) {
		unsigned code = (unsigned char)*s;

		if (*s == '\\') {
			if (sscanf(s, "\\u%4x", &code) != 1)
				return false;
			s += 5;
			put(ret, size, &used, code);
		} else if (used + 1 < size) {
			ret[used++] = *s;
		}
	}
	ret[used] = '\0';
	return *s == '"';
}

static bool read_message(const char *line, struct message *ret)
{
	(void)member(line, "file", ret->file, sizeof ret->file);
	return member(line, "time", ret->time, sizeof ret->time) &&
	       member(line, "source", ret->source, sizeof ret->source) &&
	       member(line, "msg", ret->msg, sizeof ret->msg);
}

int logread_main(int argc, char *argv[])
{
	static char line[MAX_REPLY];
	static struct message message;
	const char *path = QUERY_SOCKET, *value;
	enum mode mode = DUMP;
	FILE *reply;

	for (int i = 1; i < argc; i++) {
		if (strcmp(argv[i], "-f") == 0)
			mode = BOTH;
		else if (strcmp(argv[i], "-F") == 0)
			mode = FOLLOW;
		else if ((value = option("socket", argc, argv, &i)))
			path = value;
		else
			give_up(2, "usage: logread [-f|-F] [-socket PATH]");
	}
	reply = ask(path, mode, 0);
	while (fgets(line, sizeof line, reply)) {
		if (!read_message(line, &message))
			give_up(1, "memlogd said what is no message");
		if (printf("%s %s %s\n", message.time, message.source, message.msg) < 0 || fflush(stdout))
			return 1;
	}
	return 0;
}

struct kept {
	const char *folder;
	int64_t most;
	unsigned files, count;
	struct rotated list[MAX_FILES];
};

static struct rotated *find(struct kept *kept, const char *path)
{
	struct rotated *made;

	for (unsigned i = 0; i < kept->count; i++)
		if (strcmp(kept->list[i].path, path) == 0)
			return &kept->list[i];
	if (kept->count == MAX_FILES)
		return NULL;
	made = &kept->list[kept->count++];
	*made = (struct rotated){.most = kept->most, .files = kept->files, .fd = -1};
	memcpy(made->path, path, strlen(path) + 1);
	return made;
}

static void write_message(struct kept *kept, const struct message *message)
{
	static bool failing;
	char path[MAX_PATH_BYTES], text[sizeof message->time + 1 + sizeof message->msg];
	struct rotated *file;
	int length;
	bool done;

	if (snprintf(path, sizeof path, "%s/%s.log", kept->folder, message->source) >= (int)sizeof path ||
	    strchr(message->source, '/') || strcmp(path, message->file) == 0)
		return;
	file = find(kept, path);
	if (!file)
		return;
	length = snprintf(text, sizeof text, "%s %s", message->time, message->msg);
	done = rotated_write(file, text, (size_t)length);
	if (!done && !failing) /* once, or its own log would fill with it */
		fprintf(stderr, "%s: %s\n", path, strerror(errno));
	failing = !done;
}

int logwrite_main(int argc, char *argv[])
{
	static struct kept kept;
	static char line[MAX_REPLY];
	static struct message message;
	const char *path = QUERY_SOCKET, *value;
	FILE *reply;

	kept.folder = "/var/log";
	kept.most = 1 << 20;
	kept.files = 10;
	for (int i = 1; i < argc; i++) {
		if ((value = option("log-dir", argc, argv, &i)))
			kept.folder = value;
		else if ((value = option("max-log-files", argc, argv, &i)))
			kept.files = (unsigned)parse_number(value, 1, 1000, "-max-log-files");
		else if ((value = option("max-log-size", argc, argv, &i)))
			kept.most = parse_number(value, 1, INT64_MAX, "-max-log-size");
		else if ((value = option("socket", argc, argv, &i)))
			path = value;
		else
			give_up(2, "unknown option %s", argv[i]);
	}
	(void)signal(SIGTERM, exit); /* as the first process of its namespace it would not hear it */
	reply = ask(path, BOTH, WAIT_S);
	while (fgets(line, sizeof line, reply)) {
		if (!read_message(line, &message))
			give_up(1, "memlogd said what is no message");
		write_message(&kept, &message);
	}
	give_up(1, "memlogd has ended");
}
