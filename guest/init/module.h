/* Loading kernel modules by name or alias, with what they need, from depmod's text files. */
#pragma once

#include <stdbool.h>
#include <stddef.h>

/* Maps the index files of the running kernel; false when it has no modules here. */
bool module_setup(void);
/*
 * Loads every module with an alias that matches one of the count strings.  Returns how many were
 * loaded; the result matched says whether there was any such alias.
 */
unsigned module_load_aliases(const char *const *wanted, size_t count, bool *ret_matched);
/* The program modprobe: modprobe [-q] [-b] [-a] [-s] [--] NAME|ALIAS... */
int module_main(char *const argv[]);
