/*
 * secrets FOLDER UID GID NAME...
 *
 * Puts secrets into a file system of a container's own, before it starts: FOLDER/NAME, for its user alone.
 * They come from what the package `metadata` was told, or from QEMU's firmware configuration.  One that
 * nobody has given is a failure, and the container is not started.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define FAILED 1
#define MAX_BYTES (256 * 1024)

static const char *const places[] = {
	"/run/config/credentials/%s",
	"/sys/firmware/qemu_fw_cfg/by_name/opt/io.systemd.credentials/%s/raw",
};

/* The first of the places that has it, open; -1 when none has. */
static int find(const char *name)
{
	for (size_t i = 0; i < sizeof places / sizeof places[0]; i++) {
		char path[512];
		int length = snprintf(path, sizeof path, places[i], name);
		int fd = length < (int)sizeof path ? open(path, O_RDONLY | O_NOFOLLOW | O_CLOEXEC) : -1;

		if (fd >= 0)
			return fd;
	}
	return -1;
}

static bool copy(int from, int to)
{
	char bytes[4096];
	ssize_t got, total = 0;

	while ((got = read(from, bytes, sizeof bytes)) > 0) {
		total += got;
		if (total > MAX_BYTES) {
			errno = EFBIG;
			return false;
		}
		for (ssize_t at = 0, done; at < got; at += done) {
			done = write(to, bytes + at, (size_t)(got - at));
			if (done < 0)
				return false;
		}
	}
	return got == 0;
}

static int give(int folder, const char *name, uid_t uid, gid_t gid)
{
	int from = find(name);
	int to;

	if (from < 0) {
		fprintf(stderr, "the secret \"%s\" was not given to this machine\n", name);
		return FAILED;
	}
	to = openat(folder, name, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0400);
	if (to < 0 || !copy(from, to) || fchown(to, uid, gid) < 0) {
		fprintf(stderr, "cannot keep the secret \"%s\": %s\n", name, strerror(errno));
		return FAILED;
	}
	close(to);
	close(from);
	return 0;
}

int main(int count, char **words)
{
	int folder = count > 4 ? open(words[1], O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC) : -1;
	int failed = 0;

	if (folder < 0) {
		fprintf(stderr, "usage: secrets FOLDER UID GID NAME...\n");
		return FAILED;
	}
	for (int i = 4; i < count; i++) {
		uid_t uid = (uid_t)strtoul(words[2], NULL, 10);
		gid_t gid = (gid_t)strtoul(words[3], NULL, 10);

		failed |= give(folder, words[i], uid, gid);
	}
	return failed;
}
