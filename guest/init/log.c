/* The output of units. */
#include "log.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>

#include "console.h"
#include "queue.h"
#include "sys.h"

#define LINE_BYTES 400  /* of one line on the console */
#define SHOWN_LINES 8   /* of a unit that failed */
#define READ_BYTES 4096
#define READS 16        /* at one time: what a pipe holds, so that no unit keeps PID 1 from the others */
#define BURST_S 4       /* seconds of the console rate that may come at once */

struct output {
	int reader, writer, file; /* -1: closed */
	struct queue ring;
	char line[LINE_BYTES + 1]; /* for the console, until its end has come */
	size_t line_bytes;
	int64_t file_bytes;
	int64_t credit; /* bytes the console will still take */
	int64_t credit_at;
	unsigned long hidden; /* lines not shown since the last one that was */
	struct log_counts counts;
};

static struct output outputs[MAX_UNITS];
static const struct table *table;
static int epoll;
static uint64_t epoll_key;

bool log_setup(const struct table *the_table, int the_epoll, uint64_t key)
{
	size_t ring = (size_t)the_table->log_ring;
	char *memory = NULL;

	table = the_table;
	epoll = the_epoll;
	epoll_key = key;
	if (table->unit_count) {
		memory = sys_allocate(table->unit_count * ring);
		if (!memory)
			return false;
	}
	for (unsigned i = 0; i < table->unit_count; i++)
		outputs[i] = (struct output){
			.reader = -1, .writer = -1, .file = -1, .credit = table->console_rate * BURST_S,
			.ring = {.data = memory + i * ring, .size = ring},
		};
	return true;
}

int log_open(unsigned number)
{
	struct output *output = &outputs[number];
	int ends[2];
	int done;

	if (output->writer >= 0)
		return output->writer;
	done = sys_pipe(ends);
	if (done < 0)
		return done;
	output->reader = ends[0];
	output->writer = ends[1];
	done = sys_watch(epoll, output->reader, EPOLLIN, epoll_key | number);
	return done < 0 ? done : output->writer;
}

static void open_file(struct output *output, const char *path)
{
	output->file = sys_open(path, O_WRONLY | O_APPEND | O_CREAT | O_NOFOLLOW | O_NONBLOCK, 0640);
	output->file_bytes = output->file < 0 ? 0 : sys_file_size(output->file);
}

/* A file that is full becomes PATH.1, over the one before it. */
static void keep_in_file(struct output *output, const char *path, const char *bytes, size_t length)
{
	if (!path || !table->log_file)
		return;
	if (output->file < 0)
		open_file(output, path);
	if (output->file_bytes && output->file_bytes + (int64_t)length > table->log_file) {
		TEXT(old, MAX_STRING + 3);

		text_join(&old, path, ".1", NULL);
		sys_close(output->file);
		(void)sys_rename(path, old.data);
		open_file(output, path);
	}
	if (output->file >= 0 && sys_write(output->file, bytes, length) > 0)
		output->file_bytes += (int64_t)length;
	else
		output->counts.lost_bytes += (int64_t)length; /* a full disk loses lines, nothing else */
}

static void show_line(struct output *output, const char *name, int64_t now)
{
	int64_t most = table->console_rate * BURST_S, cost = (int64_t)output->line_bytes + 1;
	int64_t gained = (now - output->credit_at) * table->console_rate / 1000;

	if (gained > 0) {
		output->credit = gained > most - output->credit ? most : output->credit + gained;
		output->credit_at = now;
	}
	output->line[output->line_bytes] = '\0';
	if (output->credit < cost) {
		output->hidden++;
		output->counts.hidden_lines++;
	} else {
		output->credit -= cost;
		if (output->hidden) {
			TEXT(count, 24);

			text_add_number(&count, (int64_t)output->hidden);
			console_line("[", name, "] (lines not shown here: ", count.data, ")", NULL);
			output->hidden = 0;
		}
		console_line("[", name, "] ", output->line, NULL);
	}
	output->line_bytes = 0;
}

static void show(struct output *output, const char *name, const char *bytes, size_t length, int64_t now)
{
	for (size_t i = 0; i < length; i++) {
		if (bytes[i] == '\n')
			show_line(output, name, now);
		else if (bytes[i] != '\r' && bytes[i] && output->line_bytes < LINE_BYTES)
			output->line[output->line_bytes++] = bytes[i];
	}
}

void log_read(unsigned number, int64_t now)
{
	struct output *output = &outputs[number];
	const struct unit *unit = &table->units[number];
	char buffer[READ_BYTES];

	if (output->reader < 0)
		return;
	for (int i = 0; i < READS; i++) {
		ssize_t done = sys_read(output->reader, buffer, sizeof buffer);

		if (done <= 0)
			return;
		output->counts.bytes += done;
		queue_overwrite(&output->ring, buffer, (size_t)done);
		keep_in_file(output, unit->log, buffer, (size_t)done);
		show(output, unit->name, buffer, (size_t)done, now);
	}
}

void log_close(unsigned number, int64_t now)
{
	struct output *output = &outputs[number];

	if (output->reader < 0)
		return;
	log_read(number, now);
	if (output->line_bytes)
		show_line(output, table->units[number].name, now);
	sys_unwatch(epoll, output->reader);
	sys_close(output->reader);
	sys_close(output->writer);
	sys_close(output->file);
	output->reader = output->writer = output->file = -1;
}

struct log_counts log_counts(unsigned number)
{
	return outputs[number].counts;
}

size_t log_copy(unsigned number, uint64_t *position, char *buffer, size_t size, uint64_t *skipped)
{
	const struct queue *ring = &outputs[number].ring;
	uint64_t end = (uint64_t)outputs[number].counts.bytes, start = end - ring->used;
	size_t length;

	*skipped = *position < start ? start - *position : 0;
	*position += *skipped;
	length = (size_t)(end - *position) < size ? (size_t)(end - *position) : size;
	queue_copy(ring, (size_t)(*position - start), buffer, length);
	*position += length;
	return length;
}

void log_last_line(unsigned number, struct text *ret)
{
	char line[LINE_BYTES];
	size_t length = queue_last_lines(&outputs[number].ring, 1, line, sizeof line);

	text_add_bytes(ret, line, length);
}

void log_show(unsigned number)
{
	char lines[2048];

	(void)queue_last_lines(&outputs[number].ring, SHOWN_LINES, lines, sizeof lines);
	console_block("    | ", lines);
}
