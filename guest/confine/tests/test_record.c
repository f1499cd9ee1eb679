/* Reading the record of a confinement: what is right, what is wrong, and garbage. */
#include "../record.h"

#include <stdlib.h>

#include "../../tests/check.h"

static struct record record;

#define HEAD RECORD_MAGIC "\0" RECORD_VERSION "\0"
#define ONE_STEP "filter\0" "1\0" "\6\0\0\0\0\0\0\0"
#define READ(words) record_read(words, sizeof(words) - 1, &record)
#define WRONG(words, why) CHECK_TEXT(READ(words) ? READ(words) : "nothing", why)

static void right(void)
{
	const char *problem = READ(HEAD "landlock\0enforce\0write\0/tmp\0write\0/var/x\0run\0/var/x\0"
			"bind\0" "80\0bind\0" "65535\0connect\0any\0jit\0yes\0" ONE_STEP);

	CHECK(problem == NULL);
	CHECK(record.landlock == LANDLOCK_ENFORCE);
	CHECK(record.path_count == 2 && strcmp(record.paths[1], "/var/x") == 0);
	CHECK(!record.runnable[0] && record.runnable[1]);
	CHECK(record.bind.count == 2 && record.bind.ports[1] == 65535 && !record.bind.any);
	CHECK(record.connect.any && record.jit);
	CHECK(READ(HEAD "limit\0" "7 1024 18446744073709551615\0" ONE_STEP) == NULL && record.limit_count == 1);
	CHECK(record.limits[0].kind == 7 && record.limits[0].most.rlim_cur == 1024);
	CHECK(record.limits[0].most.rlim_max == RLIM_INFINITY);
	CHECK(record.filter_count == 1 && record.filter[0].code == 6);
	CHECK(READ(HEAD "landlock\0best-effort\0" ONE_STEP) == NULL);
	CHECK(record.landlock == LANDLOCK_BEST_EFFORT && record.path_count == 0 && !record.jit);
}

static void wrong(void)
{
	WRONG("", "it is no record of this version");
	WRONG("linuxkit-confine", "it is no record of this version");
	WRONG("linuxkit-confine\0" "2\0" ONE_STEP, "it is no record of this version");
	WRONG(HEAD, "it is cut short");
	WRONG(HEAD "jit\0yes\0", "it is cut short");
	WRONG(HEAD "jit\0no\0" ONE_STEP, "it has an unknown part");
	WRONG(HEAD "odd\0yes\0" ONE_STEP, "it has an unknown part");
	WRONG(HEAD "landlock\0off\0" ONE_STEP, "it has an unknown part");
	WRONG(HEAD "write\0tmp\0" ONE_STEP, "a path is not absolute");
	WRONG(HEAD "run\0/tmp\0" ONE_STEP, "a path to run from is not writable");
	WRONG(HEAD "bind\0" "0\0" ONE_STEP, "a port is no number");
	WRONG(HEAD "bind\0" "65536\0" ONE_STEP, "a port is no number");
	WRONG(HEAD "bind\0" "8x\0" ONE_STEP, "a port is no number");
	WRONG(HEAD "bind\0\0" ONE_STEP, "a port is no number");
	WRONG(HEAD "limit\0" "7 1\0" ONE_STEP, "a limit is not three numbers");
	WRONG(HEAD "limit\0" "7 1 -1\0" ONE_STEP, "a limit is not three numbers");
	WRONG(HEAD "limit\0" "7 1 2 3\0" ONE_STEP, "a limit is not three numbers");
	WRONG(HEAD "limit\0" "16 1 2\0" ONE_STEP, "a limit is of no kind that there is");
	WRONG(HEAD "filter\0" "2\0" "\6\0\0\0\0\0\0\0", "its filter is cut short");
	WRONG(HEAD "filter\0" "0\0", "its filter is cut short");
	WRONG(HEAD "filter\0" "1\0" "\6\0\0\0\0\0\0\0x", "its filter is cut short");
	WRONG(HEAD "filter\0" "99999999999999999999\0", "its filter is cut short");
}

static void add(char *bytes, size_t *size, const char *words, size_t length)
{
	memcpy(bytes + *size, words, length);
	*size += length;
}

static void too_much(void)
{
	static char bytes[MAX_RECORD_BYTES];
	size_t size = 0;

	add(bytes, &size, HEAD, sizeof HEAD - 1);
	for (int i = 0; i <= MAX_PATHS; i++)
		add(bytes, &size, "write\0/x", sizeof "write\0/x");
	CHECK_TEXT(record_read(bytes, size, &record), "there are too many paths");
	size = sizeof HEAD - 1;
	for (int i = 0; i <= MAX_PORTS; i++)
		add(bytes, &size, "bind\0" "1", sizeof "bind\0" "1");
	CHECK_TEXT(record_read(bytes, size, &record), "there are too many ports");
}

/* Changes anywhere, and any end: each byte is in memory of its own, which the sanitizer guards. */
static void garbage(void)
{
	static const char good[] = HEAD "landlock\0enforce\0write\0/tmp\0bind\0" "80\0" ONE_STEP;
	uint32_t seed = 1;

	for (int round = 0; round < 200000; round++) {
		size_t size = sizeof good - 1;
		char *bytes;

		seed = seed * 1664525 + 1013904223;
		if (seed >> 31)
			size = (seed >> 8) % (sizeof good);
		bytes = malloc(size ? size : 1);
		if (!bytes)
			abort();
		memcpy(bytes, good, size);
		for (int change = 0; size && change < 3; change++) {
			seed = seed * 1664525 + 1013904223;
			bytes[(seed >> 12) % size] = (char)(seed >> 3);
		}
		record_read(bytes, size, &record);
		CHECK(record.path_count <= MAX_PATHS && record.filter_count <= MAX_FILTER);
		free(bytes);
	}
}

int main(void)
{
	right();
	wrong();
	too_much();
	garbage();
	DONE();
}
