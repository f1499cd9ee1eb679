/* Network interfaces for containers, asked of the kernel by rtnetlink(7). */
#pragma once

#include <stdbool.h>
#include <stdint.h>

struct given_link {
	const char *name;
	const char *kind; /* empty: it is there already, and moves */
	const char *peer; /* of a veth, stays outside */
	bool outside;     /* it is made out here, and moves */
};

/*
 * Sees to it that the network of the process has the interface; one of that name that it has
 * already is left as it is.  What the network of a time before still holds comes free late: it is
 * waited for until the time given.
 */
int link_give(const struct given_link *link, int pid, int64_t until);
