/* Services that say themselves when they are ready, as sd_notify(3) does. */
#pragma once

#include "table.h"

/* Opens the sockets of those that do; they are bound into their containers. */
void notify_setup(const struct table *table, int epoll, uint64_t key);
/* Reads what unit number says; returns whether it says that it is ready. */
bool notify_read(unsigned number);
