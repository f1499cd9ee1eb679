/* Bytes from one socket to another, and back. */
#include <errno.h>
#include <poll.h>
#include <stdbool.h>
#include <stddef.h>
#include <sys/socket.h>

#include "vsudd.h"

#define BLOCK (64 * 1024)

struct way {
	int from, to;
	size_t at, end; /* of the bytes that have come and not yet gone */
	bool over;
	char bytes[BLOCK];
};

static void finish(struct way *way)
{
	way->over = true;
	(void)shutdown(way->to, SHUT_WR);
	(void)shutdown(way->from, SHUT_RD);
}

static bool must_wait(void)
{
	return errno == EAGAIN || errno == EINTR;
}

static void pull(struct way *way)
{
	ssize_t got = recv(way->from, way->bytes, sizeof way->bytes, MSG_DONTWAIT);

	if (got > 0) {
		way->at = 0;
		way->end = (size_t)got;
	} else if (got == 0 || !must_wait()) {
		finish(way);
	}
}

static void push(struct way *way)
{
	ssize_t gone = send(way->to, way->bytes + way->at, way->end - way->at, MSG_DONTWAIT | MSG_NOSIGNAL);

	if (gone >= 0)
		way->at += (size_t)gone;
	else if (!must_wait())
		finish(way);
}

static void step(struct way *way, short from, short to)
{
	if (way->over)
		return;
	if (to & (POLLHUP | POLLERR)) /* whoever has gone takes nothing more */
		finish(way);
	else if (way->at < way->end && (to & POLLOUT))
		push(way);
	else if (way->at == way->end && from)
		pull(way);
}

/* What a socket is asked that is the beginning of one way and the end of the other. */
static short asked(const struct way *out, const struct way *in)
{
	bool gives = !out->over && out->at == out->end, takes = !in->over && in->at < in->end;

	return (short)((gives ? POLLIN : 0) | (takes ? POLLOUT : 0));
}

void relay(int one, int other)
{
	static struct way there, back;

	there.from = back.to = one;
	there.to = back.from = other;
	while (!there.over || !back.over) {
		struct pollfd polls[] = {{one, asked(&there, &back), 0}, {other, asked(&back, &there), 0}};

		/* one that is asked nothing is watched for its end only as long as that matters */
		if (!polls[0].events && back.over)
			polls[0].fd = -1;
		if (!polls[1].events && there.over)
			polls[1].fd = -1;
		if (poll(polls, 2, -1) < 0 && errno != EINTR)
			return;
		step(&there, polls[0].revents, polls[1].revents);
		step(&back, polls[1].revents, polls[0].revents);
	}
}
