/* Small jobs with files that several parts need. */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "text.h"

/* The start of a file as text, without line ends behind it; its length or a negative errno. */
int file_read(const char *path, char *buffer, size_t size);
/* The parent of a process; 0 when it is not there. */
int file_parent(int pid);
/* Writes to a file that exists. */
int file_write(const char *path, const char *text);
/* Makes a directory with those above it; 0 also when something is there already. */
int file_mkdirs(const char *path, unsigned mode);
/* Calls visit with each name in a folder (not "." and "..") until it returns false. */
int file_list(const char *folder, bool (*visit)(const char *folder, const char *name, void *context),
	      void *context);
/* Paths below /dev that stand on the kernel's command line behind a word such as "name="; false: none do. */
bool file_kernel_word(const char *word, struct text *ret);
