/* One connection to the control socket or port: requests in, frames out, both bounded. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "queue.h"

#define SESSION_WORDS 64
#define SESSION_LINE 4096 /* of a request; a longer one is answered with an error */
#define SESSION_QUEUE 8192
#define SESSION_PIECE 2048 /* the most that one frame carries */

struct session {
	int fd; /* -1: free */
	char line[SESSION_LINE]; /* what was read */
	size_t length;
	size_t taken; /* of it, at its begin: the request being answered */
	bool too_long;
	char id[17]; /* of the request being answered, chosen by who asks; "" when there is none */
	char queued[SESSION_QUEUE];
	struct queue queue;
};

void session_open(struct session *session, int fd);
/* Forgets what was said and asked. */
void session_reset(struct session *session);

enum session_news { SESSION_NOTHING, SESSION_MORE, SESSION_REQUEST, SESSION_BAD, SESSION_CLOSED };

/*
 * Reads a piece (SESSION_MORE), or cuts what has been read up to the end of one request into words:
 * verb and arguments, which stand until the next call.  After both there may be more.
 */
enum session_news session_read(struct session *session, char *words[SESSION_WORDS], unsigned *ret_count);

/* Whether a frame of SESSION_PIECE bytes would find room. */
bool session_has_room(const struct session *session);
/* A frame of the kind "out" or "err" (there must be room). */
void session_say(struct session *session, const char *kind, const char *bytes, size_t length);
/* The last frame of an answer. */
void session_end(struct session *session, int status);
/* Sends what can be sent; a negative errno when nobody is there any more. */
int session_flush(struct session *session);
