/* Files that rotate, times, numbers, JSON. */
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

#include "logs.h"

void give_up(int status, const char *format, ...)
{
	va_list more;

	va_start(more, format);
	vfprintf(stderr, format, more);
	va_end(more);
	fputc('\n', stderr);
	exit(status);
}

int64_t parse_number(const char *text, int64_t least, int64_t most, const char *whose)
{
	char *end;
	long long number;

	errno = 0;
	number = strtoll(text, &end, 10);
	if (errno || end == text || *end || number < least || number > most)
		give_up(2, "%s: \"%s\" is no number from %lld to %lld", whose, text, (long long)least,
			(long long)most);
	return number;
}

int64_t now_ms(void)
{
	struct timespec now;

	(void)clock_gettime(CLOCK_REALTIME, &now);
	return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

void format_time(int64_t ms, char ret[static TIME_BYTES])
{
	time_t seconds = (time_t)(ms / 1000);
	struct tm parts;
	size_t used;

	(void)gmtime_r(&seconds, &parts);
	used = strftime(ret, TIME_BYTES, "%Y-%m-%dT%H:%M:%S", &parts);
	(void)snprintf(ret + used, TIME_BYTES - used, ".%03dZ", (int)(ms % 1000));
}

static bool open_rotated(struct rotated *file)
{
	struct stat now;

	file->fd = open(file->path, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0640);
	if (file->fd < 0)
		return false;
	file->size = fstat(file->fd, &now) < 0 ? 0 : now.st_size;
	return true;
}

static void rotate(struct rotated *file)
{
	char older[MAX_PATH_BYTES + 16], newer[MAX_PATH_BYTES + 16];

	(void)close(file->fd);
	file->fd = -1;
	for (unsigned i = file->files - 1; i > 0; i--) {
		(void)snprintf(older, sizeof older, "%s.%u", file->path, i);
		(void)snprintf(newer, sizeof newer, i > 1 ? "%s.%u" : "%s", file->path, i - 1);
		(void)rename(newer, older); /* one that is not there yet need not move */
	}
	if (file->files == 1)
		(void)unlink(file->path);
}

bool rotated_write(struct rotated *file, const char *line, size_t length)
{
	const struct iovec parts[] = {{(void *)(uintptr_t)line, length}, {(void *)(uintptr_t)"\n", 1}};
	ssize_t done;

	if (file->fd < 0 && !open_rotated(file))
		return false;
	if (file->size && file->size + (int64_t)length + 1 > file->most) {
		rotate(file);
		if (!open_rotated(file))
			return false;
	}
	done = writev(file->fd, parts, 2);
	if (done >= 0)
		file->size += done;
	if (done == (ssize_t)length + 1)
		return true;
	if (done >= 0) { /* no half lines: it is written whole when there is room again */
		file->size -= done;
		(void)ftruncate(file->fd, file->size);
		errno = ENOSPC;
	}
	return false;
}

/* How many bytes the character takes; 0: it is none of UTF-8. */
static size_t character(const unsigned char *s, size_t left)
{
	size_t length = *s < 0x80 ? 1 : *s >= 0xc2 && *s < 0xe0 ? 2 : (*s & 0xf0) == 0xe0 ? 3
			: *s >= 0xf0 && *s < 0xf5 ? 4 : 0;

	if (!length || length > left)
		return 0;
	for (size_t i = 1; i < length; i++)
		if ((s[i] & 0xc0) != 0x80)
			return 0;
	if ((*s == 0xe0 && s[1] < 0xa0) || (*s == 0xed && s[1] > 0x9f) ||
	    (*s == 0xf0 && s[1] < 0x90) || (*s == 0xf4 && s[1] > 0x8f))
		return 0; /* overlong, a surrogate, or beyond the last one (RFC 3629) */
	return length;
}

size_t json_escape(const char *text, size_t length, char *ret, size_t size)
{
	const unsigned char *s = (const unsigned char *)text;
	size_t used = 0;

	for (size_t i = 0; i < length && used + 7 < size;) {
		size_t bytes = character(s + i, length - i);

		if (!bytes) {
			used += (size_t)snprintf(ret + used, size - used, "\\ufffd");
			i++;
		} else if (s[i] < ' ' || s[i] == '"' || s[i] == '\\' || s[i] == 0x7f) {
			used += (size_t)snprintf(ret + used, size - used, "\\u%04x", s[i]);
			i++;
		} else {
			memcpy(ret + used, s + i, bytes);
			used += bytes;
			i += bytes;
		}
	}
	ret[used] = '\0';
	return used;
}
