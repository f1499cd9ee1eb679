/* Writes files below one folder, whatever the names are that somebody else has chosen. */
#include "store.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "json.h"

static int root = -1;
static unsigned written;

/* One name of a path: no way up, no way down, not hidden from anybody who looks. */
static bool is_name(const char *name)
{
	size_t length = strlen(name);

	if (!length || length > 255 || strcmp(name, ".") == 0 || strcmp(name, "..") == 0)
		return false;
	for (const char *s = name; *s; s++)
		if (*s == '/' || (unsigned char)*s < 0x20 || *s == 0x7f)
			return false;
	return true;
}

bool store_open(const char *folder)
{
	if (mkdir(folder, 0755) < 0 && errno != EEXIST) {
		fprintf(stderr, "metadata: cannot make %s: %s\n", folder, strerror(errno));
		return false;
	}
	root = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (root < 0)
		fprintf(stderr, "metadata: cannot open %s: %s\n", folder, strerror(errno));
	return root >= 0;
}

/* A folder in `parent`, made if need be. */
static int open_folder(int parent, const char *name)
{
	if (!is_name(name) || (mkdirat(parent, name, 0755) < 0 && errno != EEXIST))
		return -1;
	return openat(parent, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
}

static bool write_file(int folder, const char *name, const void *data, size_t length, mode_t mode)
{
	const char *at = data;
	int fd;

	if (!is_name(name) || ++written > MAX_FILES)
		return false;
	if (unlinkat(folder, name, 0) < 0 && errno != ENOENT)
		return false;
	fd = openat(folder, name, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
	if (fd < 0)
		return false;
	while (length) {
		ssize_t done = write(fd, at, length);

		if (done <= 0)
			break;
		at += done;
		length -= (size_t)done;
	}
	if (fchmod(fd, mode) < 0)
		length = 1;
	return close(fd) == 0 && length == 0;
}

bool store_write(const char *path, const void *data, size_t length, mode_t mode)
{
	const char *slash = strchr(path, '/');
	char folder[64];
	bool done;
	int fd;

	if (!slash) {
		done = write_file(root, path, data, length, mode);
	} else {
		snprintf(folder, sizeof folder, "%.*s", (int)(slash - path), path);
		fd = open_folder(root, folder);
		done = fd >= 0 && write_file(fd, slash + 1, data, length, mode);
		if (fd >= 0)
			close(fd);
	}
	if (!done)
		fprintf(stderr, "metadata: cannot write %s\n", path);
	return done;
}

void store_text(const char *path, const char *text)
{
	if (text && *text)
		(void)store_write(path, text, strlen(text), 0644);
}

void store_add_line(const char *path, const char *line, size_t length)
{
	const char *slash = strchr(path, '/');
	char folder[64];
	int parent, fd;

	while (length && strchr(" \t\r\n", line[length - 1]) && line[length - 1])
		length--;
	for (size_t i = 0; i < length; i++)
		if ((unsigned char)line[i] < 0x20)
			return;
	if (!length || !slash)
		return;
	snprintf(folder, sizeof folder, "%.*s", (int)(slash - path), path);
	parent = open_folder(root, folder);
	if (parent < 0)
		return;
	fd = openat(parent, slash + 1, O_WRONLY | O_CREAT | O_APPEND | O_NOFOLLOW | O_CLOEXEC, 0600);
	if (fd >= 0) {
		if (dprintf(fd, "%.*s\n", (int)length, line) < 0)
			fprintf(stderr, "metadata: cannot write %s\n", path);
		close(fd);
	}
	close(parent);
}

/* Octal permissions without the bits that give a program other rights. */
static bool read_mode(const struct json *entry, mode_t *mode)
{
	const struct json *said = json_get(entry, "perm");
	unsigned long bits;
	char *end;

	*mode = 0644;
	if (!said)
		return true;
	if (said->kind != JSON_TEXT || said->text[0] < '0' || said->text[0] > '7')
		return false;
	bits = strtoul(said->text, &end, 8);
	*mode = (mode_t)bits;
	return !*end && bits <= 0777;
}

static void complain(const char *name, const char *why)
{
	char shown[64];
	size_t i;

	for (i = 0; name[i] && i < sizeof shown - 1; i++)
		shown[i] = name[i] < 0x20 || name[i] == 0x7f ? '?' : name[i];
	shown[i] = '\0';
	fprintf(stderr, "metadata: \"%s\" of the user data is left out: %s\n", shown, why);
}

static void expand(int folder, const struct json *map)
{
	for (const struct json *entry = map->first; entry; entry = entry->next) {
		const struct json *content = json_get(entry, "content");
		const struct json *entries = json_get(entry, "entries");
		mode_t mode;
		int fd;

		if (!is_name(entry->key)) {
			complain(entry->key, "not a name for a file");
		} else if (!content == !entries) {
			complain(entry->key, "it needs one of content and entries");
		} else if (entries && entries->kind == JSON_MAP) {
			fd = open_folder(folder, entry->key);
			if (fd < 0) {
				complain(entry->key, "there can be no folder of that name");
				continue;
			}
			expand(fd, entries);
			close(fd);
		} else if (!content || content->kind != JSON_TEXT || !read_mode(entry, &mode)) {
			complain(entry->key, "of the wrong type, or with permissions that cannot be");
		} else if (!write_file(folder, entry->key, content->text, content->length, mode)) {
			complain(entry->key, "it cannot be written");
		}
	}
}

void store_expand(char *text, size_t length)
{
	const struct json *map = json_read(text, length);

	if (map && map->kind == JSON_MAP)
		expand(root, map);
}
