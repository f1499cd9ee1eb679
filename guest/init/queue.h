/* Bytes on their way to something slow: a bounded ring that is written without ever waiting. */
#pragma once

#include <stdbool.h>
#include <stddef.h>

struct queue {
	char *data;
	size_t size, head, used;
	unsigned long lost; /* pieces that found no room */
};

/* Takes all of the piece or none of it; returns whether it did. */
bool queue_add(struct queue *queue, const char *bytes, size_t length);
/* Writes what fd takes now.  Returns 0, or the error other than -EAGAIN that ended it. */
int queue_flush(struct queue *queue, int fd);

/* Adds bytes over the oldest ones where there is no room (for logs). */
void queue_overwrite(struct queue *queue, const char *bytes, size_t length);
/* Copies length bytes that are there, from the oldest plus offset on. */
void queue_copy(const struct queue *queue, size_t offset, char *buffer, size_t length);
/* Copies the last lines, at most count and size - 1 bytes; returns their length. */
size_t queue_last_lines(const struct queue *queue, unsigned count, char *buffer, size_t size);
