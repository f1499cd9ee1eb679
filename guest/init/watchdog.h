/* The hardware's watchdog: it resets a machine whose PID 1 does not come round any more. */
#pragma once

#include "table.h"

/* Opens the table's watchdog as soon as there is one, and feeds it; returns the next time. */
int64_t watchdog_feed(const struct table *table, int64_t now);
/* Turns it off: the machine is to stand still from now on. */
void watchdog_release(void);
