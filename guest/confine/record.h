/* What is to be done, read from bytes; build/sandbox/record.py has the same names and limits. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <sys/resource.h>

#include <linux/filter.h>

#define RECORD_MAGIC "linuxkit-confine"
#define RECORD_VERSION "1"
#define MAX_RECORD_BYTES 65536
#define MAX_PATHS 64
#define MAX_PORTS 256
#define MAX_FILTER 4096
#define MAX_LIMITS 16 /* RLIMIT_NLIMITS */

enum landlock_mode { LANDLOCK_OFF, LANDLOCK_BEST_EFFORT, LANDLOCK_ENFORCE };

struct ports {
	bool any;
	size_t count;
	uint16_t ports[MAX_PORTS];
};

struct record {
	enum landlock_mode landlock;
	bool jit;
	size_t path_count;
	const char *paths[MAX_PATHS]; /* writable; inside of the bytes */
	bool runnable[MAX_PATHS];     /* whether programs may be run from there all the same */
	size_t limit_count;
	struct limit { /* getrlimit(2) */
		int kind;
		struct rlimit most;
	} limits[MAX_LIMITS];
	struct ports bind;
	struct ports connect;
	size_t filter_count;
	struct sock_filter filter[MAX_FILTER];
};

/* NULL when the bytes are a record, else what is wrong with them. */
const char *record_read(const char *bytes, size_t size, struct record *ret_record);
