/* The smallest thing that can fail a test: prints where and what, and goes on. */
#pragma once

#include <stdbool.h>
#include <stdio.h>
#include <string.h>

static int failures;

#define CHECK(condition)                                                              \
	do {                                                                          \
		if (!(condition)) {                                                   \
			printf("%s:%d: not so: %s\n", __FILE__, __LINE__, #condition); \
			failures++;                                                   \
		}                                                                     \
	} while (0)

#define CHECK_TEXT(found, wanted)                                                         \
	do {                                                                              \
		const char *found_ = (found), *wanted_ = (wanted);                        \
		if (strcmp(found_, wanted_) != 0) {                                       \
			printf("%s:%d: \"%s\", not \"%s\"\n", __FILE__, __LINE__, found_, \
			       wanted_);                                                  \
			failures++;                                                       \
		}                                                                         \
	} while (0)

#define DONE() return failures ? (printf("%d failures\n", failures), 1) : 0
