/* Unmounting. */
#include "stop.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/mount.h>

#include "sys.h"
#include "text.h"

#define MOUNTS_BYTES (1 << 20)
#define ROUNDS 8 /* a mount may be under another, or hold another's files */

/* Undoes the octal escapes of /proc/self/mounts in place. */
static void unescape(char *path)
{
	char *out = path;

	while (*path) {
		if (path[0] == '\\' && path[1] >= '0' && path[1] <= '3' && path[2] && path[3]) {
			*out++ = (char)((path[1] - '0') * 64 + (path[2] - '0') * 8 + (path[3] - '0'));
			path += 4;
		} else {
			*out++ = *path++;
		}
	}
	*out = '\0';
}

/* What the kernel keeps in memory and cannot lose anything, and the root. */
static bool is_left_alone(const char *path, const char *type)
{
	static const char *const folders[] = {"/proc", "/sys", "/dev"};
	static const char *const types[] = {"tmpfs", "ramfs", "rootfs", "devtmpfs", "proc", "sysfs",
					    "cgroup2", "cgroup", "nsfs", "devpts", "mqueue"};

	if (strcmp(path, "/") == 0)
		return true;
	for (size_t i = 0; i < sizeof folders / sizeof folders[0]; i++) {
		size_t length = strlen(folders[i]);

		if (strncmp(path, folders[i], length) == 0 && (!path[length] || path[length] == '/'))
			return true;
	}
	for (size_t i = 0; i < sizeof types / sizeof types[0]; i++)
		if (strcmp(type, types[i]) == 0)
			return true;
	return false;
}

static size_t read_mounts(char *memory)
{
	int fd = sys_open("/proc/self/mounts", O_RDONLY, 0);
	size_t used = 0;
	ssize_t done;

	while (fd >= 0 && used < MOUNTS_BYTES - 1 &&
	       (done = sys_read(fd, memory + used, MOUNTS_BYTES - 1 - used)) > 0)
		used += (size_t)done;
	sys_close(fd);
	memory[used] = '\0';
	return used;
}

/* Unmounts from the last mount to the first; returns how many are still there. */
static unsigned unmount_round(char *memory, int flags)
{
	size_t end = read_mounts(memory);
	unsigned left = 0;

	while (end) {
		size_t start = end - 1;
		char *path, *type;

		while (start && memory[start - 1] != '\n')
			start--;
		memory[end - 1] = '\0';
		end = start;
		path = strchr(memory + start, ' ');
		type = path ? strchr(path + 1, ' ') : NULL;
		if (!type)
			continue;
		*path++ = *type++ = '\0';
		type[strcspn(type, " ")] = '\0';
		unescape(path);
		if (!is_left_alone(path, type) && sys_umount(path, flags) < 0)
			left++;
	}
	return left;
}

int stop_unmount(bool machine)
{
	char *memory = sys_allocate(MOUNTS_BYTES);
	unsigned left = 1, before = 0;

	sys_sync();
	if (!machine || !memory)
		return 0;
	for (int round = 0; round < ROUNDS && left && left != before; round++) {
		before = left;
		left = unmount_round(memory, 0);
	}
	if (left)
		(void)unmount_round(memory, MNT_DETACH);
	(void)sys_mount(NULL, "/", NULL, MS_REMOUNT | MS_RDONLY, NULL);
	sys_sync();
	return 0;
}
