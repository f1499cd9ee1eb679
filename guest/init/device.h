/* Modules for the devices that are there, and word of those that come later. */
#pragma once

#include <stdbool.h>

/* Loads what the present devices ask for; runs as a child process and returns its exit status. */
int device_cold_plug(void);
/* Reads what the kernel sent; true when a device came that may need a module. */
bool device_news(int uevents, bool *ret_report_port);
