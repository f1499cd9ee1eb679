/* A ring of bytes. */
#include "queue.h"

#include <errno.h>
#include <string.h>

#include "sys.h"

static void append(struct queue *queue, const char *bytes, size_t length)
{
	size_t tail = (queue->head + queue->used) % queue->size;
	size_t first = queue->size - tail < length ? queue->size - tail : length;

	memcpy(queue->data + tail, bytes, first);
	memcpy(queue->data, bytes + first, length - first);
	queue->used += length;
}

bool queue_add(struct queue *queue, const char *bytes, size_t length)
{
	if (length > queue->size - queue->used) {
		queue->lost++;
		return false;
	}
	append(queue, bytes, length);
	return true;
}

int queue_flush(struct queue *queue, int fd)
{
	while (queue->used) {
		size_t piece = queue->size - queue->head;
		ssize_t done;

		if (piece > queue->used)
			piece = queue->used;
		done = sys_write(fd, queue->data + queue->head, piece);
		if (done == -EINTR)
			continue;
		if (done <= 0)
			return done == -EAGAIN ? 0 : done ? (int)done : -EIO;
		queue->head = (queue->head + (size_t)done) % queue->size;
		queue->used -= (size_t)done;
	}
	return 0;
}

void queue_overwrite(struct queue *queue, const char *bytes, size_t length)
{
	if (length > queue->size) {
		bytes += length - queue->size;
		length = queue->size;
	}
	if (length > queue->size - queue->used) {
		size_t drop = length - (queue->size - queue->used);

		queue->head = (queue->head + drop) % queue->size;
		queue->used -= drop;
		queue->lost += drop;
	}
	append(queue, bytes, length);
}

static char at(const struct queue *queue, size_t i)
{
	return queue->data[(queue->head + i) % queue->size];
}

void queue_copy(const struct queue *queue, size_t offset, char *buffer, size_t length)
{
	for (size_t i = 0; i < length; i++)
		buffer[i] = at(queue, offset + i);
}

size_t queue_last_lines(const struct queue *queue, unsigned count, char *buffer, size_t size)
{
	size_t end = queue->used, start, length;

	while (end && (at(queue, end - 1) == '\n' || at(queue, end - 1) == '\r'))
		end--;
	for (start = end; start && end - start < size - 1; start--)
		if (at(queue, start - 1) == '\n' && !--count)
			break;
	length = end - start;
	queue_copy(queue, start, buffer, length);
	buffer[length] = '\0';
	return length;
}
