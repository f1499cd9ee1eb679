/*
 * Every directory may be listed.  Every file may be read and run, except what lies in a writable
 * place: that may be written, and not run.  A rule holds for all below a directory, so the directories above a
 * writable place get no rule of their own; what lies beside it does.
 */
#include "landlock.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/stat.h>
#include <unistd.h>

#include <linux/landlock.h>

#define LEAST_ABI 6      /* Linux 6.12: files, devices, TCP ports, signals, abstract sockets */
#define MAX_RULES 4096

#define FILE_READ LANDLOCK_ACCESS_FS_READ_FILE
#define FILE_RUN (FILE_READ | LANDLOCK_ACCESS_FS_EXECUTE)
#define FILE_WRITE (FILE_READ | LANDLOCK_ACCESS_FS_WRITE_FILE | LANDLOCK_ACCESS_FS_TRUNCATE)
#define DEVICE_USE (FILE_WRITE | LANDLOCK_ACCESS_FS_IOCTL_DEV)
#define DIR_READ LANDLOCK_ACCESS_FS_READ_DIR
#define DIR_WRITE                                                            \
	(DIR_READ | LANDLOCK_ACCESS_FS_REMOVE_DIR | LANDLOCK_ACCESS_FS_REMOVE_FILE | \
	 LANDLOCK_ACCESS_FS_MAKE_DIR | LANDLOCK_ACCESS_FS_MAKE_REG |                 \
	 LANDLOCK_ACCESS_FS_MAKE_SOCK | LANDLOCK_ACCESS_FS_MAKE_FIFO |               \
	 LANDLOCK_ACCESS_FS_MAKE_SYM | LANDLOCK_ACCESS_FS_REFER)

struct rules {
	int fd;
	uint64_t handled;
	unsigned count;
	const struct record *record;
};

/* A rule for what the descriptor is; rights that are none of a file's are left out for one. */
static int add_rule(struct rules *rules, int fd, uint64_t file, uint64_t directory)
{
	struct landlock_path_beneath_attr beneath = {.parent_fd = fd};
	struct stat found;

	if (++rules->count > MAX_RULES)
		return -E2BIG;
	if (fstat(fd, &found) < 0)
		return -errno;
	beneath.allowed_access = (S_ISDIR(found.st_mode) ? file | directory : file) & rules->handled;
	if (syscall(SYS_landlock_add_rule, rules->fd, LANDLOCK_RULE_PATH_BENEATH, &beneath, 0) < 0) {
		return -errno;
	}
	return 0;
}

static int add_path(struct rules *rules, const char *path, uint64_t file, uint64_t directory)
{
	int fd = open(path, O_PATH | O_CLOEXEC);
	int done;

	if (fd < 0)
		return errno == ENOENT ? 0 : -errno;
	done = add_rule(rules, fd, file, directory);
	close(fd);
	return done;
}

/* Whether the path is a writable place, and whether one lies below it. */
static void compare(const struct record *record, const char *path, bool *ret_is, bool *ret_above)
{
	size_t length = strlen(path);

	*ret_is = *ret_above = false;
	for (size_t i = 0; i < record->path_count; i++) {
		const char *place = record->paths[i];

		if (strcmp(place, path) == 0)
			*ret_is = true;
		if (strncmp(place, path, length) == 0 && place[length] == '/')
			*ret_above = true;
	}
}

static int add_readable(struct rules *rules, const char *directory);

static int add_entry(struct rules *rules, const char *path, unsigned char kind)
{
	bool is, above;

	if (kind == DT_LNK) return 0; /* what it leads to has a rule of its own */
	compare(rules->record, path, &is, &above);
	if (is || strcmp(path, "/dev") == 0 || strcmp(path, "/proc") == 0)
		return 0;
	if (above)
		return add_readable(rules, path);
	return add_path(rules, path, FILE_RUN, 0);
}

/* All that lies in a directory, which ends with no slash ("" is the root).  It descends as deep as
 * writable places lie. */
static int add_readable(struct rules *rules, const char *directory)
{
	DIR *open_directory = opendir(*directory ? directory : "/");
	struct dirent *entry;
	int done = 0;

	if (!open_directory)
		return errno == EACCES ? 0 : -errno;
	while (done >= 0 && (entry = readdir(open_directory))) {
		char path[PATH_MAX];
		int length;

		if (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0)
			continue;
		length = snprintf(path, sizeof path, "%s/%s", directory, entry->d_name);
		done = length < (int)sizeof path ? add_entry(rules, path, entry->d_type) : -ENAMETOOLONG;
	}
	closedir(open_directory);
	return done;
}

static int add_files(struct rules *rules)
{
	const struct record *record = rules->record;
	int done = add_path(rules, "/", 0, DIR_READ);

	if (done >= 0)
		done = add_path(rules, "/dev", DEVICE_USE, 0);
	if (done >= 0)
		done = add_path(rules, "/proc", FILE_READ, 0);
	for (size_t i = 0; done >= 0 && i < record->path_count; i++) {
		uint64_t file = record->runnable[i] ? FILE_WRITE | FILE_RUN : FILE_WRITE;

		done = add_path(rules, record->paths[i], file, DIR_WRITE);
	}
	return done < 0 ? done : add_readable(rules, "");
}

static int add_ports(int fd, const struct ports *ports, uint64_t right)
{
	for (size_t i = 0; !ports->any && i < ports->count; i++) {
		struct landlock_net_port_attr rule = {.allowed_access = right, .port = ports->ports[i]};

		if (syscall(SYS_landlock_add_rule, fd, LANDLOCK_RULE_NET_PORT, &rule, 0) < 0)
			return -errno;
	}
	return 0;
}

/* All that Landlock can deny, as far as this kernel knows it. */
static struct landlock_ruleset_attr handled(const struct record *record, int abi)
{
	struct landlock_ruleset_attr attr = {
		.handled_access_fs = (LANDLOCK_ACCESS_FS_IOCTL_DEV << 1) - 1,
		.scoped = LANDLOCK_SCOPE_SIGNAL | LANDLOCK_SCOPE_ABSTRACT_UNIX_SOCKET,
	};

	if (!record->bind.any)
		attr.handled_access_net |= LANDLOCK_ACCESS_NET_BIND_TCP;
	if (!record->connect.any)
		attr.handled_access_net |= LANDLOCK_ACCESS_NET_CONNECT_TCP;
	if (abi < 6)
		attr.scoped = 0;
	if (abi < 5)
		attr.handled_access_fs &= ~(uint64_t)LANDLOCK_ACCESS_FS_IOCTL_DEV;
	if (abi < 4)
		attr.handled_access_net = 0;
	if (abi < 3)
		attr.handled_access_fs &= ~(uint64_t)LANDLOCK_ACCESS_FS_TRUNCATE;
	if (abi < 2)
		attr.handled_access_fs &= ~(uint64_t)LANDLOCK_ACCESS_FS_REFER;
	return attr;
}

int landlock_apply(const struct record *record, const char **ret_what)
{
	int abi = (int)syscall(SYS_landlock_create_ruleset, NULL, 0, LANDLOCK_CREATE_RULESET_VERSION);
	struct landlock_ruleset_attr attr = handled(record, abi);
	struct rules rules = {.handled = attr.handled_access_fs, .record = record};
	int done;

	if (abi < LEAST_ABI && record->landlock == LANDLOCK_ENFORCE) {
		*ret_what = abi < 0 ? "this kernel has no Landlock (is it in lsm=?)"
		                    : "this kernel's Landlock is too old";
		return abi < 0 ? -errno : -EOPNOTSUPP;
	}
	if (abi < 0)
		return 0;
	*ret_what = "the Landlock rules";
	rules.fd = (int)syscall(SYS_landlock_create_ruleset, &attr, sizeof attr, 0);
	if (rules.fd < 0)
		return -errno;
	done = add_files(&rules);
	if (done >= 0 && attr.handled_access_net & LANDLOCK_ACCESS_NET_BIND_TCP) {
		done = add_ports(rules.fd, &record->bind, LANDLOCK_ACCESS_NET_BIND_TCP);
	}
	if (done >= 0 && attr.handled_access_net & LANDLOCK_ACCESS_NET_CONNECT_TCP) {
		done = add_ports(rules.fd, &record->connect, LANDLOCK_ACCESS_NET_CONNECT_TCP);
	}
	if (done >= 0 && syscall(SYS_landlock_restrict_self, rules.fd, 0) < 0)
		done = -errno;
	close(rules.fd);
	return done;
}
