/* Mounts, device links, cgroups. */
#include "early.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/mount.h>

#include "../include/layout.h"
#include "console.h"
#include "files.h"
#include "sys.h"
#include "text.h"

#define CGROUP "/sys/fs/cgroup"

struct mount_row {
	const char *source, *target, *type;
	unsigned long flags;
	const char *data;
	bool make; /* the folder is ours to make; else the kernel makes it when it knows the type */
};

#define SAFE (MS_NOSUID | MS_NODEV | MS_NOEXEC)

/* Sizes and modes as upstream's init has them. */
static const struct mount_row rows[] = {
	{"proc", "/proc", "proc", SAFE, NULL, true},
	{"sysfs", "/sys", "sysfs", SAFE, NULL, true},
	{"dev", "/dev", "devtmpfs", MS_NOSUID | MS_NOEXEC, "mode=755", true},
	{"devpts", "/dev/pts", "devpts", MS_NOSUID | MS_NOEXEC, "gid=5,mode=620,ptmxmode=666", true},
	{"shm", "/dev/shm", "tmpfs", SAFE, "mode=1777", true},
	{"mqueue", "/dev/mqueue", "mqueue", SAFE, NULL, true},
	{"run", "/run", "tmpfs", SAFE, "size=10%,mode=755", true},
	{"tmp", "/tmp", "tmpfs", SAFE, "size=10%,mode=1777", true},
	{"var", "/var", "tmpfs", SAFE, "size=50%,mode=755", true},
	{"cgroup2", CGROUP, "cgroup2", SAFE, "nsdelegate", false},
	{"securityfs", "/sys/kernel/security", "securityfs", SAFE, NULL, false},
	{"configfs", "/sys/kernel/config", "configfs", SAFE, NULL, false},
	{"bpf", "/sys/fs/bpf", "bpf", SAFE, "mode=700", false},
	{"pstore", "/sys/fs/pstore", "pstore", SAFE, NULL, false},
	{"efivarfs", "/sys/firmware/efi/efivars", "efivarfs", SAFE, NULL, false},
};

static const struct {
	const char *path;
	unsigned mode;
} folders[] = {
	{UNITS_DIR, 0700}, {"/run/log", 0755}, {"/run/log/onboot", 0755},
	{"/run/log/shutdown", 0755}, {"/run/resolvconf", 0755}, {"/var/cache", 0755},
	{"/var/empty", 0555}, {"/var/lib", 0755}, {"/var/local", 0755}, {"/var/lock", 0755},
	{"/var/log", 0755}, {"/var/opt", 0755}, {"/var/spool", 0755}, {"/var/tmp", 01777},
};

static const struct {
	const char *target, *path;
} links[] = {
	{"/proc/self/fd", "/dev/fd"}, {"/proc/self/fd/0", "/dev/stdin"},
	{"/proc/self/fd/1", "/dev/stdout"}, {"/proc/self/fd/2", "/dev/stderr"},
};

static void complain(const char *what, const char *name, int error)
{
	if (error < 0)
		SAY(what, name, ": ", strerror(-error), ", going on");
}

/*
 * The first root of an initramfs is no mount one can pivot away from, so OCI runtimes fail on it.
 * Bound onto a folder and moved to /, the same files are: no copy, no second tmpfs.
 */
static void move_root(void)
{
	static const char place[] = "/proc"; /* any folder will do; nothing is mounted there yet */
	int done;

	(void)sys_mkdir(place, 0555);
	done = sys_mount("/", place, NULL, MS_BIND, NULL);
	if (done >= 0)
		done = sys_chdir(place);
	if (done >= 0)
		done = sys_mount(".", "/", NULL, MS_MOVE, NULL);
	if (done >= 0)
		done = sys_chroot(".");
	(void)sys_chdir("/");
	complain("moving the root", "", done);
}

static void mount_all(void)
{
	for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
		const struct mount_row *row = &rows[i];

		if (row->make)
			(void)file_mkdirs(row->target, 0755);
		else if (!sys_exists(row->target))
			continue;
		complain("mounting ", row->target,
			 sys_mount(row->source, row->target, row->type, row->flags, row->data));
	}
}

static void enable_controllers(void)
{
	char names[256];
	char *rest = names;

	if (file_read(CGROUP "/cgroup.controllers", names, sizeof names) < 0)
		return;
	while (*rest) { /* one by one: the kernel takes all or none of a list */
		size_t length = strcspn(rest, " ");
		TEXT(word, 64);

		text_add(&word, "+");
		text_add_bytes(&word, rest, length);
		(void)file_write(CGROUP "/cgroup.subtree_control", word.data);
		rest += length + (rest[length] == ' ');
	}
}

void early_folders(void)
{
	for (size_t i = 0; i < sizeof folders / sizeof folders[0]; i++)
		complain("making ", folders[i].path, file_mkdirs(folders[i].path, folders[i].mode));
	(void)sys_symlink("/run", "/var/run");
	(void)sys_symlink("/run/log/onboot", "/var/log/onboot");
}

/* /etc/resolv.conf is a link to a file that a DHCP client writes: it must be there to be bound. */
static void make_resolv_conf(void)
{
	char target[256];
	ssize_t length = sys_readlink("/etc/resolv.conf", target, sizeof target - 1);
	char *slash;
	int fd;

	if (length <= 0 || target[0] != '/')
		return;
	target[length] = '\0';
	slash = strrchr(target, '/');
	*slash = '\0';
	(void)file_mkdirs(target[0] ? target : "/", 0755);
	*slash = '/';
	fd = sys_open(target, O_WRONLY | O_CREAT, 0644);
	sys_close(fd);
}

void early_machine(void)
{
	if (sys_is_memory_fs("/") == 1)
		move_root();
	mount_all();
	for (size_t i = 0; i < sizeof links / sizeof links[0]; i++)
		(void)sys_symlink(links[i].target, links[i].path);
	enable_controllers();
	early_folders();
	make_resolv_conf();
	complain("sharing mounts", "", sys_mount(NULL, "/", NULL, MS_REC | MS_SHARED, NULL));
	/* the file system, not only this mount of it: a bind mount of / would else be writable */
	complain("making / read-only", "", sys_mount(NULL, "/", NULL, MS_REMOUNT | MS_RDONLY, NULL));
}
