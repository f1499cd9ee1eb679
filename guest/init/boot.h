/*
 * The order of things: devices, volumes and onboot one by one, services, and at the end stopping,
 * onshutdown and the way out.  Every phase has an end: a unit's own limits, or a deadline here.
 */
#pragma once

#include "report.h"
#include "table.h"

enum phase {
	PHASE_DEVICES,
	PHASE_ONBOOT,
	PHASE_SERVICES,
	PHASE_UP,
	PHASE_HELD, /* the boot failed; only the power is still served */
	PHASE_STOPPING,
	PHASE_ONSHUTDOWN,
	PHASE_TERM, /* what is left is asked to end */
	PHASE_KILL,
	PHASE_UNMOUNT,
	PHASE_FAREWELL, /* the last records leave */
	PHASE_OVER,
};

struct boot {
	struct table table;
	bool machine; /* not in a container: there are devices to care for */
	enum phase phase;
	enum action action; /* what the machine does in the end */
	int64_t deadline;   /* of the phase */
	int device_pid, unmount_pid;
	int64_t device_deadline;
	bool devices_again; /* something came while modules were being loaded */
};

/* Begins; error says why the table cannot be used, or is empty. */
void boot_begin(struct boot *boot, const char *error);
/* Takes in the children that ended.  Returns false when some were left for the next call. */
bool boot_reap(struct boot *boot);
/* Does what can be done now; returns the time at which it wants to be called again. */
int64_t boot_advance(struct boot *boot);
/* A device came. */
void boot_new_device(struct boot *boot);
/* Somebody wants the machine to go down. */
void boot_power(struct boot *boot, enum action action);
