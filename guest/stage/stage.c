/*
 * The first program of a machine whose root file system lies on a disk: loads the drivers it was
 * given, finds the disk by its content, mounts it and starts the real first program from there.
 * What to do was decided when the image was made (formats/stage.py) and stands in /stage.table.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/capability.h>
#include <linux/dm-ioctl.h>
#include <linux/keyctl.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <time.h>
#include <unistd.h>

#include "table.h"

#define TABLE "/stage.table"
#define WAIT_MS 30000  /* for the disk */
#define PAUSE_NS 50000000L
#define COMPRESSED 4 /* MODULE_INIT_COMPRESSED_FILE */
#define NEW_ROOT "/root"
#define IPE "/sys/kernel/security/ipe/"
#define HELPERS_BSET "/sys/kernel/usermodehelper/bset"
#define MAX_FILE 65536 /* a signature, a policy, what the stub has handed over */

struct device {
	char path[64];
	unsigned major, minor;
};

static struct device devices[2]; /* by role: root, hash */
static struct table table;

/* PID 1 must not end for no reason that anybody can read; the kernel panics when it does. */
__attribute__((format(printf, 1, 2))) static _Noreturn void fail(const char *format, ...)
{
	va_list words;

	fputs("stage: ", stderr);
	va_start(words, format);
	vfprintf(stderr, format, words);
	va_end(words);
	fputs("\n", stderr);
	sleep(2); /* serial lines are slow */
	exit(1);
}

static void open_console(void)
{
	int fd = open("/dev/console", O_RDWR | O_NOCTTY);

	if (fd < 0)
		return;
	for (int i = 0; i < 3; i++)
		(void)dup2(fd, i);
	if (fd > 2)
		close(fd);
}

/* The start of a file, up to size bytes; the length, or -1. */
static ssize_t read_file(const char *path, void *data, size_t size)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
	ssize_t got = 0;
	size_t length = 0;

	if (fd < 0)
		return -1;
	while (length < size && (got = read(fd, (char *)data + length, size - length)) > 0)
		length += (size_t)got;
	close(fd);
	return got < 0 ? -1 : (ssize_t)length;
}

/* In one call: the kernel takes what is not whole for another thing. */
static bool write_file(const char *path, const void *data, size_t size, int flags)
{
	int fd = open(path, O_WRONLY | O_CLOEXEC | flags, 0444);
	bool done;

	if (fd < 0)
		return false;
	done = write(fd, data, size) == (ssize_t)size;
	return close(fd) == 0 && done;
}

static void read_table(void)
{
	ssize_t got = read_file(TABLE, table.data, sizeof table.data);
	const char *problem;

	if (got < 0)
		fail("%s: %s", TABLE, strerror(errno));
	table.size = (size_t)got;
	problem = table_open(&table);
	if (problem)
		fail("%s: %s", TABLE, problem);
}

/*
 * Whether these modules, with spaces between their names, are there.  One for hardware that this
 * machine lacks refuses; of others that need it the kernel would say that symbols are unknown.
 */
static bool are_loaded(char *names)
{
	for (char *name = strtok(names, " "); name; name = strtok(NULL, " ")) {
		char path[128];

		(void)snprintf(path, sizeof path, "/sys/module/%.100s", name);
		if (access(path, F_OK) < 0)
			return false;
	}
	return true;
}

static void load_module(const char *path, char *under)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	size_t length = strlen(path);
	bool plain = length > 3 && strcmp(path + length - 3, ".ko") == 0;

	if (fd < 0)
		fail("%s: %s", path, strerror(errno));
	/* Not for hardware that this machine lacks, nor without the module that is for it. */
	if (are_loaded(under) &&
	    syscall(SYS_finit_module, fd, "", plain ? 0 : COMPRESSED) < 0 && errno != EEXIST &&
	    errno != ENODEV)
		fprintf(stderr, "stage: %s: %s\n", path, strerror(errno));
	close(fd);
	(void)unlink(path); /* its memory is of use elsewhere */
}

static bool matches(const char *name, struct device *ret, off_t offset, const unsigned char *wanted,
		    size_t count)
{
	unsigned char found[MAX_MATCH];
	struct stat facts;
	bool same;
	int fd;

	(void)snprintf(ret->path, sizeof ret->path, "/dev/%.48s", name);
	for (char *c = ret->path + 5; *c; c++)
		if (*c == '!') /* how sysfs spells a slash */
			*c = '/';
	fd = open(ret->path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return false;
	same = pread(fd, found, count, offset) == (ssize_t)count && !memcmp(found, wanted, count) &&
	       fstat(fd, &facts) == 0;
	close(fd);
	if (same) {
		ret->major = major(facts.st_rdev);
		ret->minor = minor(facts.st_rdev);
	}
	return same;
}

static bool look(struct device *ret, off_t offset, const unsigned char *wanted, size_t count)
{
	DIR *folder = opendir("/sys/class/block");
	struct dirent *entry;
	bool found = false;

	if (!folder)
		return false;
	while (!found && (entry = readdir(folder)))
		if (entry->d_name[0] != '.')
			found = matches(entry->d_name, ret, offset, wanted, count);
	closedir(folder);
	return found;
}

/* Whatever bus it is on and whatever it is called there: the disk with these bytes is ours. */
static void find(const char *role, const char *offset, const char *hex)
{
	struct device *device = &devices[strcmp(role, "root") != 0];
	const struct timespec pause = {.tv_nsec = PAUSE_NS};
	unsigned char wanted[MAX_MATCH];
	size_t count = table_bytes(hex, wanted);

	if (!count)
		fail("%s: not a number: %s", TABLE, hex);
	for (long waited = 0; waited < WAIT_MS; waited += PAUSE_NS / 1000000) {
		if (look(device, strtoll(offset, NULL, 10), wanted, count))
			return;
		(void)nanosleep(&pause, NULL);
	}
	fail("no disk holds the %s of this system: is it attached, and is there a driver for it?",
	     strcmp(role, "root") ? "hash tree" : "root file system");
}

/* Why a signature does not do. */
static const char *unsigned_why(void)
{
	if (errno == ENOKEY || errno == EKEYREJECTED)
		return "not signed by a key that the firmware of this machine trusts (Secure Boot)";
	return strerror(errno);
}

/* Where dm-verity looks for the signature of a root hash; gone with the next execve. */
static void add_key(const char *name, const char *path)
{
	char data[MAX_FILE];
	ssize_t size = read_file(path, data, sizeof data);

	if (size < 0 || syscall(SYS_add_key, "user", name, data, (size_t)size,
				KEY_SPEC_PROCESS_KEYRING) < 0)
		fail("key %s: %s", path, strerror(errno));
}

static int dm_call(int fd, unsigned long request, void *data)
{
	return (int)syscall(SYS_ioctl, fd, request, data); /* libraries differ in the type */
}

static void *dm_request(void *memory, size_t size)
{
	struct dm_ioctl *request = memory;

	memset(memory, 0, size);
	request->version[0] = DM_VERSION_MAJOR;
	request->data_size = (uint32_t)size;
	request->data_start = sizeof *request;
	strcpy(request->name, "root");
	return request;
}

/* Puts the target over the two devices (Linux, admin-guide/device-mapper/verity.rst). */
static void verity(const char *sectors, const char *rest)
{
	_Alignas(8) char memory[4096];
	struct dm_ioctl *request = dm_request(memory, sizeof memory);
	struct dm_target_spec *target = (void *)(memory + sizeof *request);
	char *parameters = (char *)(target + 1);
	int fd = open("/dev/mapper/control", O_RDWR | O_CLOEXEC);
	uint64_t device;

	if (fd < 0 || dm_call(fd, DM_DEV_CREATE, request) < 0)
		fail("device mapper: %s", strerror(errno));
	device = request->dev;
	request = dm_request(memory, sizeof memory);
	request->target_count = 1;
	request->flags = DM_READONLY_FLAG;
	target->length = strtoull(sectors, NULL, 10);
	strcpy(target->target_type, "verity");
	(void)snprintf(parameters, 2048, "1 %u:%u %u:%u %s", devices[0].major, devices[0].minor,
		       devices[1].major, devices[1].minor, rest);
	if (dm_call(fd, DM_TABLE_LOAD, request) < 0)
		fail("verity %s: %s", parameters, unsigned_why());
	request = dm_request(memory, sizeof memory);
	if (dm_call(fd, DM_DEV_SUSPEND, request) < 0) /* without the flag: resume */
		fail("device mapper: %s", strerror(errno));
	close(fd);
	(void)snprintf(devices[0].path, sizeof devices[0].path, "/dev/dm-%u",
		       (unsigned)minor((dev_t)device));
}

static void mount_root(const char *kind, const char *options)
{
	if (mount(devices[0].path, NEW_ROOT, kind, MS_RDONLY, options) < 0)
		fail("mounting %s as %s: %s", devices[0].path, kind, strerror(errno));
}

/* From here on the kernel runs what the policy allows (Linux, admin-guide/LSM/ipe.rst). */
static void obey_policy(const char *name, const char *path)
{
	char data[MAX_FILE], active[128];
	ssize_t size = read_file(path, data, sizeof data);

	if (size < 0)
		fail("%s: %s", path, strerror(errno));
	if (mount("securityfs", "/sys/kernel/security", "securityfs",
		  MS_NOSUID | MS_NOEXEC | MS_NODEV, NULL) < 0)
		fail("securityfs: %s", strerror(errno));
	if (access(IPE, F_OK) < 0)
		fail("the kernel has no IPE: is it missing in \"lsm=\" of the command line?");
	if (!write_file(IPE "new_policy", data, (size_t)size, 0))
		fail("the policy of what may run: %s", unsigned_why());
	(void)snprintf(active, sizeof active, IPE "policies/%.64s/active", name);
	if (!write_file(active, "1", 1, 0))
		fail("%s: %s", active, strerror(errno));
}

/* Whatever was said outside of the image: a host can add to the command line. */
static void enforce(void)
{
	if (!write_file(IPE "enforce", "1", 1, 0))
		fail("%senforce: %s", IPE, strerror(errno));
}

/*
 * Nobody who starts later can switch the policy off: that takes CAP_MAC_ADMIN, which goes for good,
 * also from programs that the kernel starts by itself (Linux, admin-guide/sysctl/kernel.rst:
 * usermodehelper).
 */
static void lock(void)
{
	static const char place[] = "/m"; /* any folder will do; the modules are loaded */
	char all_but_it[32];

	if (mount("proc", place, "proc", MS_NOSUID | MS_NOEXEC | MS_NODEV, NULL) < 0)
		fail("proc: %s", strerror(errno));
	(void)snprintf(all_but_it, sizeof all_but_it, "%u %u", UINT32_MAX,
		       UINT32_MAX & ~CAP_TO_MASK(CAP_MAC_ADMIN));
	if (!write_file("/m" HELPERS_BSET, all_but_it, strlen(all_but_it), 0))
		fail("%s: %s", HELPERS_BSET, strerror(errno));
	if (umount2(place, 0) < 0) /* its presence would tell the init that this is a container */
		fail("proc: %s", strerror(errno));
	if (prctl(PR_CAPBSET_DROP, CAP_MAC_ADMIN, 0, 0, 0) < 0) /* gone with the next execve */
		fail("CAP_MAC_ADMIN: %s", strerror(errno));
}

/*
 * What the stub of the image has put beside it (systemd-stub(7)), such as signatures of
 * measurements, stays in sight: the file system of devices is the same one ever after.
 */
static void keep(const char *from, const char *to)
{
	DIR *folder = opendir(from);
	struct dirent *entry;

	if (!folder)
		return; /* another loader */
	if (mkdir(to, 0555) < 0)
		fail("%s: %s", to, strerror(errno));
	while ((entry = readdir(folder))) {
		char source[320], target[320], data[MAX_FILE];
		ssize_t size;

		if (entry->d_type != DT_REG)
			continue;
		(void)snprintf(source, sizeof source, "%.32s/%s", from, entry->d_name);
		(void)snprintf(target, sizeof target, "%.32s/%s", to, entry->d_name);
		size = read_file(source, data, sizeof data);
		if (size < 0 || !write_file(target, data, (size_t)size, O_CREAT | O_EXCL))
			fail("%s: %s", target, strerror(errno));
	}
	closedir(folder);
}

static _Noreturn void start(char *program)
{
	char *argv[] = {program, NULL};
	char *env[] = {"HOME=/", "TERM=linux", NULL};

	(void)unlink(TABLE);
	(void)unlink("/init");
	(void)umount2("/sys", MNT_DETACH); /* and what is mounted in it */
	(void)umount2("/dev", MNT_DETACH);
	if (chdir(NEW_ROOT) < 0 || mount(".", "/", NULL, MS_MOVE, NULL) < 0 || chroot(".") < 0 ||
	    chdir("/") < 0)
		fail("moving the root: %s", strerror(errno));
	(void)execve(program, argv, env);
	fail("%s: %s", program, strerror(errno));
}

static void obey(const struct order *order)
{
	char *const *fields = order->fields;

	if (strcmp(order->name, "module") == 0)
		load_module(fields[0], fields[1]);
	else if (strcmp(order->name, "find") == 0)
		find(fields[0], fields[1], fields[2]);
	else if (strcmp(order->name, "key") == 0)
		add_key(fields[0], fields[1]);
	else if (strcmp(order->name, "verity") == 0)
		verity(fields[0], fields[1]);
	else if (strcmp(order->name, "mount") == 0)
		mount_root(fields[0], fields[1]);
	else if (strcmp(order->name, "policy") == 0)
		obey_policy(fields[0], fields[1]);
	else if (strcmp(order->name, "enforce") == 0)
		enforce();
	else if (strcmp(order->name, "lock") == 0)
		lock();
	else if (strcmp(order->name, "keep") == 0)
		keep(fields[0], fields[1]);
	else if (strcmp(order->name, "start") == 0)
		start(fields[0]);
	else
		fail("%s: unknown record %s", TABLE, order->name);
}

int main(void)
{
	struct order order;
	const char *problem;

	if (getpid() != 1) {
		fputs("stage: this is the first program of a machine\n", stderr);
		return 2;
	}
	(void)mount("dev", "/dev", "devtmpfs", MS_NOSUID | MS_NOEXEC, "mode=755");
	(void)mount("sysfs", "/sys", "sysfs", MS_NOSUID | MS_NOEXEC | MS_NODEV, NULL);
	open_console();
	read_table();
	while (!(problem = table_next(&table, &order)))
		obey(&order);
	fail("%s: %s", TABLE, problem);
}
