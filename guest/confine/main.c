/*
 * confine RECORD PROGRAM [ARGUMENT...]
 *
 * The first program of a strict container.  The OCI runtime has made namespaces, mounts, limits
 * and ids; this does what it cannot, in the one order that works, and becomes the program.
 * Whatever cannot be done ends it: nothing runs half confined.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <linux/seccomp.h>

#include "landlock.h"
#include "record.h"

#ifndef PR_SET_MDWE
#define PR_SET_MDWE 65
#define PR_MDWE_REFUSE_EXEC_GAIN 1
#endif

#define STATUS_FAILED 125

static int fail(const char *what, const char *why)
{
	dprintf(STDERR_FILENO, "confine: %s: %s\n", what, why);
	return STATUS_FAILED;
}

static ssize_t read_all(const char *path, char *bytes, size_t size)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY);
	size_t done = 0;
	ssize_t got = 0;

	if (fd < 0)
		return -errno;
	while (done < size && (got = read(fd, bytes + done, size - done)) > 0)
		done += (size_t)got;
	if (got < 0)
		got = -errno;
	close(fd);
	return got < 0 ? got : (ssize_t)done;
}

/*
 * The runtime sets a service's limits, but not all set those of a command in its container.  What is lower
 * already stays: nobody gets more here.
 */
static int lower_limits(const struct record *record)
{
	for (size_t i = 0; i < record->limit_count; i++) {
		const struct limit *limit = &record->limits[i];
		struct rlimit now;

		if (getrlimit(limit->kind, &now) < 0)
			return -1;
		if (limit->most.rlim_max < now.rlim_max)
			now.rlim_max = limit->most.rlim_max;
		now.rlim_cur = limit->most.rlim_cur < now.rlim_max ? limit->most.rlim_cur : now.rlim_max;
		if (setrlimit(limit->kind, &now) < 0)
			return -1;
	}
	return 0;
}

static int filter_calls(struct record *record)
{
	struct sock_fprog program = {
		.len = (unsigned short)record->filter_count,
		.filter = record->filter,
	};

	return (int)syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, 0, &program);
}

int main(int count, char **words)
{
	static char bytes[MAX_RECORD_BYTES + 1];
	static struct record record;
	const char *what = "";
	const char *problem;
	ssize_t size;
	int done;

	if (count < 3)
		return fail("usage", "confine RECORD PROGRAM [ARGUMENT...]");
	size = read_all(words[1], bytes, sizeof bytes);
	if (size < 0)
		return fail(words[1], strerror((int)-size));
	if (size > MAX_RECORD_BYTES)
		return fail(words[1], "it is too large");
	problem = record_read(bytes, (size_t)size, &record);
	if (problem)
		return fail(words[1], problem);

	if (lower_limits(&record) < 0)
		return fail("the limits", strerror(errno));
	if (!record.jit && prctl(PR_SET_MDWE, PR_MDWE_REFUSE_EXEC_GAIN, 0, 0, 0) < 0) {
		return fail("memory that is writable and executable", strerror(errno));
	}
	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0) {
		return fail("no new privileges", strerror(errno));
	}
	if (record.landlock != LANDLOCK_OFF) {
		done = landlock_apply(&record, &what);
		if (done < 0)
			return fail(what, strerror(-done));
	}
	if (syscall(SYS_close_range, 3U, ~0U, 0U) < 0)
		return fail("open files", strerror(errno));
	if (filter_calls(&record) < 0)
		return fail("the system call filter", strerror(errno));
	execvp(words[2], &words[2]);
	return fail(words[2], strerror(errno));
}
