#pragma once
/* The folder that what was found is written to. */
#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

#define MAX_FILES 4096

/* Opens the folder, making it if need be; false with a message when that is not possible. */
bool store_open(const char *folder);

/* Writes a file of the folder at `path`, made of names that the program itself chose. */
bool store_write(const char *path, const void *data, size_t length, mode_t mode);

/* Like that, with a text; nothing is written where there is none. */
void store_text(const char *path, const char *text);

/* Adds a line to a file of keys, unless it is blank or not printable. */
void store_add_line(const char *path, const char *line, size_t length);

/* Makes files of user data that is a map: {NAME: {"content": TEXT, "perm": "0644"} | {"entries": {...}}}. */
void store_expand(char *text, size_t length);
