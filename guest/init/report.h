/* Records for the host, one JSON object a line, and the host's commands. */
#pragma once

#include "unit.h"

enum action { ACTION_NONE, ACTION_POWEROFF, ACTION_REBOOT, ACTION_HALT };

void report_setup(int epoll, uint64_t key);
/* Looks for the port, unless one is open already: a kernel parameter, or the named virtio port. */
void report_find(void);
/* Whether somebody is listening. */
bool report_connected(void);
/* Whether everything that was said has been taken. */
bool report_sent(void);
/* The port has news: sends what waits, and returns the host's last command. */
enum action report_ready(void);

void report_boot(const char *state, const char *detail);
void report_up(unsigned services, unsigned failed);
void report_unit(const struct unit *unit, const char *section, const char *detail);
void report_phase(const char *phase);
void report_power(enum action action);

const char *action_word(enum action action);
