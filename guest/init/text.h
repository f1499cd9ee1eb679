/* Bounded text: always NUL-terminated, never longer than its buffer; it knows when it was cut. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct text {
	char *data;
	size_t size; /* of the buffer, at least 1 */
	size_t length;
	bool cut;
};

#define TEXT(name, bytes)           \
	char name##_buffer[bytes];  \
	struct text name = text_in(name##_buffer, sizeof name##_buffer)

struct text text_in(char *buffer, size_t size);
void text_add(struct text *text, const char *string);
void text_add_bytes(struct text *text, const char *bytes, size_t length);
void text_add_number(struct text *text, int64_t number);
/* Adds several strings; the list ends with NULL. */
void text_join(struct text *text, ...) __attribute__((sentinel));
/* Adds a JSON string with its quotes; what is not UTF-8 becomes "?", and at most limit bytes. */
void text_add_json(struct text *text, const char *string, size_t limit);

/* Reads a whole decimal number of at most max; returns false and leaves *ret alone otherwise. */
bool text_number(const char *string, uint64_t max, uint64_t *ret);
/* Compares names the way module tools do: '-' and '_' are the same. */
bool text_same_module(const char *a, const char *b);
/* Shell pattern: '*', '?' and [sets]; '-' and '_' are the same outside of sets. */
bool text_matches(const char *pattern, const char *string);
