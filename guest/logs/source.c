/* The log files that PID 1 keeps of its units, read as they grow. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "logs.h"

#define PIECE 65536
#define LOST "(lines lost: they came faster than they could be read)"

static const struct {
	const char *section, *folder;
} places[] = {
	{"onboot", "/run/log/onboot"}, {"services", "/var/log"}, {"onshutdown", "/run/log/shutdown"},
};

static bool is_known(const struct sources *sources, const char *path)
{
	for (unsigned i = 0; i < sources->count; i++)
		if (strcmp(sources->list[i].path, path) == 0)
			return true;
	return false;
}

static void add(struct sources *sources, const char *section, const char *folder, const char *file)
{
	static const char suffix[] = ".log";
	size_t length = strlen(file), name = length - (sizeof suffix - 1);
	struct source made = {.section = section};

	if (length < sizeof suffix || strcmp(file + name, suffix) != 0 || name >= MAX_NAME)
		return;
	if (snprintf(made.path, sizeof made.path, "%s/%s", folder, file) >= (int)sizeof made.path)
		return;
	if (is_known(sources, made.path) || sources->count == MAX_SOURCES)
		return;
	memcpy(made.name, file, name);
	sources->list[sources->count++] = made;
}

void sources_find(struct sources *sources, const char *root)
{
	for (size_t i = 0; i < sizeof places / sizeof *places; i++) {
		char folder[MAX_PATH_BYTES];
		const struct dirent *entry;
		DIR *open;

		if (snprintf(folder, sizeof folder, "%s%s", root, places[i].folder) >= (int)sizeof folder)
			continue;
		open = opendir(folder);
		if (!open)
			continue; /* no unit of the section has said anything yet */
		while ((entry = readdir(open)))
			add(sources, places[i].section, folder, entry->d_name);
		(void)closedir(open);
	}
}

static int open_file(const char *path, const char *suffix, struct stat *ret)
{
	char name[MAX_PATH_BYTES + 8];
	int fd;

	(void)snprintf(name, sizeof name, "%s%s", path, suffix);
	fd = open(name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
	if (fd >= 0 && (fstat(fd, ret) < 0 || !S_ISREG(ret->st_mode))) {
		(void)close(fd);
		return -1;
	}
	return fd;
}

/* Offers a piece of an open file; whole: also a last line without an end.  Returns whether all is read. */
static bool offer(int fd, const struct source *source, struct cursor *cursor, bool whole, taker take,
		  void *context)
{
	static char piece[PIECE];
	ssize_t got = pread(fd, piece, sizeof piece, cursor->at);
	size_t used = 0, length = got < 0 ? 0 : (size_t)got;

	while (used < length) {
		size_t left = length - used, most = left < MAX_LINE ? left : MAX_LINE;
		const char *end = memchr(piece + used, '\n', most);
		size_t line = end ? (size_t)(end - piece) - used : most;

		if (!end && most < MAX_LINE && (!whole || length == sizeof piece))
			break; /* it may go on */
		if (!take(context, source, piece + used, line))
			return false;
		used += line + (end ? 1 : 0);
		cursor->at += (int64_t)(line + (end ? 1 : 0));
	}
	return length < sizeof piece;
}

/* The file of the time before the last rotation, as far as it is not read.  Returns whether it is now. */
static bool catch_up(const struct source *source, struct cursor *cursor, taker take, void *context)
{
	struct stat before;
	int fd = open_file(source->path, ".1", &before);
	bool done;

	if (fd < 0 || (cursor->inode && before.st_ino != cursor->inode)) {
		if (fd >= 0)
			(void)close(fd);
		return !cursor->inode || take(context, source, LOST, sizeof LOST - 1);
	}
	cursor->inode = before.st_ino;
	done = offer(fd, source, cursor, true, take, context) && cursor->at >= before.st_size;
	(void)close(fd);
	return done;
}

void source_read(const struct source *source, struct cursor *cursor, bool whole, taker take,
		 void *context)
{
	struct stat now;
	int fd = open_file(source->path, "", &now);

	if (fd < 0)
		return; /* it is being rotated */
	if (now.st_ino != cursor->inode) {
		if (!catch_up(source, cursor, take, context)) {
			(void)close(fd);
			return;
		}
		*cursor = (struct cursor){.inode = now.st_ino};
	}
	if (now.st_size < cursor->at) { /* emptied, or another file with the number of an old one */
		if (!take(context, source, LOST, sizeof LOST - 1)) {
			(void)close(fd);
			return;
		}
		cursor->at = 0;
	}
	(void)offer(fd, source, cursor, whole, take, context);
	(void)close(fd);
}
