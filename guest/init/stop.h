/* The way out: file systems are left clean. */
#pragma once

#include <stdbool.h>

/* Syncs and unmounts what it can; runs as a child process, since a dead disk blocks it. */
int stop_unmount(bool machine);
