/* How far a forwarder has read, in a file in memory that outlives it. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "logs.h"

/*
 * The file is mapped, so a cursor that moves is kept at once and without a call, also when the
 * process is killed.  An entry belongs to a path from then on; an empty one is free.
 */
struct positions {
	uint64_t owner;
	struct {
		char path[MAX_PATH_BYTES];
		struct cursor cursor;
	} kept[MAX_SOURCES];
};

static void *map(int fd, int flags)
{
	void *made = mmap(NULL, sizeof(struct positions), PROT_READ | PROT_WRITE, flags, fd, 0);

	return made == MAP_FAILED ? NULL : made;
}

static struct positions *map_file(const char *path)
{
	int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
	struct positions *made = NULL;

	/* a file of another size is none of ours: as one that grows, it then holds nothing that is of use */
	if (fd >= 0 && ftruncate(fd, sizeof *made) == 0)
		made = map(fd, MAP_SHARED);
	if (!made)
		fprintf(stderr, "%s: %s; a restart will begin anew\n", path, strerror(errno));
	if (fd >= 0)
		(void)close(fd);
	return made;
}

struct positions *positions_open(const char *folder, unsigned number, uint64_t owner)
{
	char path[MAX_PATH_BYTES];
	struct positions *made = NULL;

	if (folder && snprintf(path, sizeof path, "%s/%u", folder, number) < (int)sizeof path)
		made = map_file(path);
	if (!made)
		made = map(-1, MAP_PRIVATE | MAP_ANONYMOUS);
	if (!made)
		give_up(1, "no memory");
	if (made->owner != owner) { /* of another receiver */
		memset(made, 0, sizeof *made);
		made->owner = owner;
	}
	return made;
}

struct cursor *positions_of(struct positions *positions, const char *path)
{
	for (unsigned i = 0; i < MAX_SOURCES; i++) {
		char *taken = positions->kept[i].path;

		taken[MAX_PATH_BYTES - 1] = '\0';
		if (!*taken)
			(void)snprintf(taken, MAX_PATH_BYTES, "%s", path);
		if (strcmp(taken, path) == 0)
			return &positions->kept[i].cursor;
	}
	return NULL;
}
