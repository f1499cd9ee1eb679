/* The console: written without waiting; what it cannot take is dropped and counted. */
#pragma once

#include <stddef.h>
#include <stdint.h>

/* Opens the path, or takes over descriptor fallback when it cannot be opened. */
void console_open(const char *path, int fallback);
void console_watch(int epoll, uint64_t key);
void console_flush(void);
/* One line of at most 512 bytes, unprintable bytes replaced; the list ends with NULL. */
void console_line(const char *first, ...) __attribute__((sentinel));
/* The lines of a text, each after the prefix. */
void console_block(const char *prefix, const char *lines);
/* "linuxkit: " and the strings as one line. */
#define SAY(...) console_line("linuxkit: ", __VA_ARGS__, NULL)
