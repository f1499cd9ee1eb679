/* The console. */
#include "console.h"

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <string.h>

#include "queue.h"
#include "sys.h"
#include "text.h"

static char queued[32768];
static struct queue queue = {.data = queued, .size = sizeof queued};
static int console = -1;

void console_open(const char *path, int fallback)
{
	int fd = sys_open(path, O_WRONLY | O_NONBLOCK | O_APPEND, 0);

	console = fd < 0 ? fallback : fd;
	console_flush();
}

void console_watch(int epoll, uint64_t key)
{
	/* A plain file cannot be watched and need not be. */
	(void)sys_watch(epoll, console, EPOLLOUT | EPOLLET, key);
}

void console_flush(void)
{
	if (console >= 0 && queue_flush(&queue, console) < 0)
		queue.used = 0; /* hung up: keep nothing for it */
}

static void put_line(struct text *line)
{
	for (size_t i = 0; i < line->length; i++) {
		unsigned char c = (unsigned char)line->data[i];

		if ((c < 0x20 && c != '\t') || c == 0x7f)
			line->data[i] = '?'; /* no output of a unit may steer the terminal */
	}
	if (queue.lost && queue.size - queue.used > line->length + 80) {
		TEXT(note, 80);

		text_add(&note, "linuxkit: the console was too slow, lines lost: ");
		text_add_number(&note, (int64_t)queue.lost);
		text_add(&note, "\r\n");
		queue.lost = 0;
		(void)queue_add(&queue, note.data, note.length);
	}
	text_add(line, "\r\n");
	(void)queue_add(&queue, line->data, line->length);
	console_flush();
}

void console_line(const char *first, ...)
{
	TEXT(line, 515);
	va_list list;

	line.size -= 2; /* for the end of the line */
	text_add(&line, first);
	va_start(list, first);
	for (const char *s = va_arg(list, const char *); s; s = va_arg(list, const char *))
		text_add(&line, s);
	va_end(list);
	line.size += 2;
	put_line(&line);
}

void console_block(const char *prefix, const char *lines)
{
	while (*lines) {
		size_t length = strcspn(lines, "\n");
		TEXT(line, 515);

		line.size -= 2;
		text_add(&line, prefix);
		text_add_bytes(&line, lines, length && lines[length - 1] == '\r' ? length - 1 : length);
		line.size += 2;
		put_line(&line);
		lines += length + (lines[length] == '\n');
	}
}
