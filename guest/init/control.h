/*
 * What a socket and the host may ask of PID 1: lists, logs, starting and stopping, commands in
 * containers.  guest/README.md has the protocol.  Whoever can open the socket is root anyway.
 */
#pragma once

#include "boot.h"

/* Opens the socket.  Keys are key | number; ready() gets the number. */
void control_setup(struct boot *boot, int epoll, uint64_t key);
/* Opens the host's ports that have come. */
void control_find(void);
/* There is news for a number; returns what is to become of the machine. */
enum action control_ready(unsigned number);
/* A child ended; returns whether it was one of ours. */
bool control_child(int pid, int status, int signal);
/*
 * Answers as far as there is room; to be called after everything that may have changed a unit.
 * Returns when it wants to be called again: nobody tells when a port takes bytes again.
 */
int64_t control_advance(void);
