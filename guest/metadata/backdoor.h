#pragma once
/* The call by which a VMware guest reaches its hypervisor; tests bring another one. */
#include <stdbool.h>
#include <stdint.h>

/* What goes out in the processor's registers and comes back in them. */
struct backdoor {
	uint32_t a, b, c, d;
};

/* Whether this machine's hypervisor says that it is VMware, and lets a program like this one call it. */
bool backdoor_is_there(void);

/* Only after that: elsewhere the call ends the program. */
void backdoor_call(struct backdoor *ret);
