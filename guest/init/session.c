/* One connection: requests in, frames out. */
#include "session.h"

#include <errno.h>
#include <string.h>

#include "sys.h"
#include "text.h"

#define FRAME_HEAD 64

void session_reset(struct session *session)
{
	session->length = session->taken = 0;
	session->too_long = false;
	session->id[0] = '\0';
	session->queue = (struct queue){.data = session->queued, .size = sizeof session->queued};
}

void session_open(struct session *session, int fd)
{
	session->fd = fd;
	session_reset(session);
}

static int hex(char c)
{
	return c >= '0' && c <= '9' ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* Undoes %XX in place; false for what is no such thing, or would hide an end. */
static bool decode(char *word)
{
	char *out = word;

	for (const char *s = word; *s; s++) {
		if (*s != '%') {
			*out++ = *s;
			continue;
		}
		if (hex(s[1]) < 0 || hex(s[2]) < 0 || (s[1] == '0' && s[2] == '0'))
			return false;
		*out++ = (char)(hex(s[1]) * 16 + hex(s[2]));
		s += 2;
	}
	*out = '\0';
	return true;
}

/* "ID VERB WORD...", with one space between them. */
static bool cut(struct session *session, char *words[SESSION_WORDS], unsigned *ret_count)
{
	char *rest = session->line;
	size_t id = strcspn(rest, " ");

	if (strlen(session->line) + 1 != session->taken || !id || id >= sizeof session->id || !rest[id])
		return false;
	for (size_t i = 0; i < id; i++)
		if (!(rest[i] >= 'a' && rest[i] <= 'z') && !(rest[i] >= '0' && rest[i] <= '9'))
			return false;
	memcpy(session->id, rest, id);
	session->id[id] = '\0';
	rest += id + 1;
	for (*ret_count = 0; rest; (*ret_count)++) {
		char *space = strchr(rest, ' ');

		if (*ret_count == SESSION_WORDS)
			return false;
		if (space)
			*space = '\0';
		words[*ret_count] = rest;
		if (!decode(rest))
			return false;
		rest = space ? space + 1 : NULL;
	}
	return true;
}

enum session_news session_read(struct session *session, char *words[SESSION_WORDS], unsigned *ret_count)
{
	bool good = !session->too_long;
	ssize_t done;
	char *end;

	/* what followed the request before */
	session->length -= session->taken;
	memmove(session->line, session->line + session->taken, session->length);
	session->taken = 0;
	end = memchr(session->line, '\n', session->length);
	if (end) {
		session->taken = (size_t)(end - session->line) + 1;
		session->id[0] = '\0';
		session->too_long = false;
		*end = '\0';
		return good && cut(session, words, ret_count) ? SESSION_REQUEST : SESSION_BAD;
	}
	if (session->length == sizeof session->line) {
		session->too_long = true;
		session->length = 0;
	}
	done = sys_read(session->fd, session->line + session->length, sizeof session->line - session->length);
	if (done <= 0)
		return done == -EAGAIN || done == -EINTR ? SESSION_NOTHING : SESSION_CLOSED;
	session->length += (size_t)done;
	return SESSION_MORE;
}

bool session_has_room(const struct session *session)
{
	return session->queue.size - session->queue.used >= SESSION_PIECE + FRAME_HEAD;
}

void session_say(struct session *session, const char *kind, const char *bytes, size_t length)
{
	TEXT(head, FRAME_HEAD);

	text_join(&head, session->id, " ", kind, " ", NULL);
	text_add_number(&head, (int64_t)length);
	text_add(&head, "\n");
	if (session->queue.size - session->queue.used < head.length + length)
		return;
	(void)queue_add(&session->queue, head.data, head.length);
	(void)queue_add(&session->queue, bytes, length);
}

void session_end(struct session *session, int status)
{
	TEXT(line, FRAME_HEAD);

	text_join(&line, *session->id ? session->id : "?", " end ", NULL);
	text_add_number(&line, status);
	text_add(&line, "\n");
	(void)queue_add(&session->queue, line.data, line.length);
	session->id[0] = '\0';
}

int session_flush(struct session *session)
{
	return queue_flush(&session->queue, session->fd);
}
