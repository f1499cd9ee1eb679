#include "record.h"

#include <stdlib.h>
#include <string.h>

struct cursor {
	const char *at;
	const char *end;
};

/* The next word, or NULL where no NUL ends it. */
static const char *next_word(struct cursor *cursor)
{
	const char *word = cursor->at;
	const char *nul = memchr(word, '\0', (size_t)(cursor->end - word));

	if (nul == NULL)
		return NULL;
	cursor->at = nul + 1;
	return word;
}

/* A decimal number from 1 to most, or 0. */
static size_t number(const char *text, size_t most)
{
	size_t value = 0;

	for (; *text >= '0' && *text <= '9'; text++) {
		value = value * 10 + (size_t)(*text - '0');
		if (value > most)
			return 0;
	}
	return *text == '\0' ? value : 0;
}

static const char *add_port(struct ports *ports, const char *value)
{
	size_t port = number(value, UINT16_MAX);

	if (strcmp(value, "any") == 0) {
		ports->any = true;
		return NULL;
	}
	if (port == 0)
		return "a port is no number";
	if (ports->count == MAX_PORTS)
		return "there are too many ports";
	ports->ports[ports->count++] = (uint16_t)port;
	return NULL;
}

/* "KIND SOFT HARD" */
static const char *add_limit(struct record *record, const char *value)
{
	unsigned long long numbers[3];
	struct limit *limit = &record->limits[record->limit_count];

	if (record->limit_count == MAX_LIMITS)
		return "there are too many limits";
	for (int i = 0; i < 3; i++) {
		char *end;

		if (*value < '0' || *value > '9')
			return "a limit is not three numbers";
		numbers[i] = strtoull(value, &end, 10);
		if (*end != (i < 2 ? ' ' : '\0'))
			return "a limit is not three numbers";
		value = end + 1;
	}
	if (numbers[0] >= MAX_LIMITS)
		return "a limit is of no kind that there is";
	*limit = (struct limit){(int)numbers[0], {(rlim_t)numbers[1], (rlim_t)numbers[2]}};
	record->limit_count++;
	return NULL;
}

static const char *allow_running(struct record *record, const char *path)
{
	for (size_t i = 0; i < record->path_count; i++) {
		if (strcmp(record->paths[i], path) == 0) {
			record->runnable[i] = true;
			return NULL;
		}
	}
	return "a path to run from is not writable";
}

static const char *add(struct record *record, const char *name, const char *value)
{
	if (strcmp(name, "landlock") == 0 && strcmp(value, "enforce") == 0) {
		record->landlock = LANDLOCK_ENFORCE;
	} else if (strcmp(name, "landlock") == 0 && strcmp(value, "best-effort") == 0) {
		record->landlock = LANDLOCK_BEST_EFFORT;
	} else if (strcmp(name, "jit") == 0 && strcmp(value, "yes") == 0) {
		record->jit = true;
	} else if (strcmp(name, "write") == 0) {
		if (value[0] != '/')
			return "a path is not absolute";
		if (record->path_count == MAX_PATHS)
			return "there are too many paths";
		record->paths[record->path_count++] = value;
	} else if (strcmp(name, "limit") == 0) {
		return add_limit(record, value);
	} else if (strcmp(name, "run") == 0) {
		return allow_running(record, value);
	} else if (strcmp(name, "bind") == 0) {
		return add_port(&record->bind, value);
	} else if (strcmp(name, "connect") == 0) {
		return add_port(&record->connect, value);
	} else {
		return "it has an unknown part";
	}
	return NULL;
}

const char *record_read(const char *bytes, size_t size, struct record *ret_record)
{
	struct cursor cursor = {.at = bytes, .end = bytes + size};
	const char *magic = next_word(&cursor);
	const char *version = magic ? next_word(&cursor) : NULL;

	if (!version || strcmp(magic, RECORD_MAGIC) != 0 || strcmp(version, RECORD_VERSION) != 0) {
		return "it is no record of this version";
	}
	memset(ret_record, 0, sizeof *ret_record);
	for (;;) {
		const char *name = next_word(&cursor);
		const char *value = name ? next_word(&cursor) : NULL;
		const char *problem;

		if (!value)
			return "it is cut short";
		if (strcmp(name, "filter") == 0) {
			size_t left = (size_t)(cursor.end - cursor.at);
			size_t count = number(value, MAX_FILTER);

			if (count == 0 || left != count * sizeof(struct sock_filter)) {
				return "its filter is cut short";
			}
			memcpy(ret_record->filter, cursor.at, left);
			ret_record->filter_count = count;
			return NULL;
		}
		problem = add(ret_record, name, value);
		if (problem)
			return problem;
	}
}
