/*
 * The first program of a machine whose root file system lies on a disk: loads the drivers it was
 * given, finds the disk by its content, mounts it and starts the real first program from there.
 * What to do was decided when the image was made (formats/stage.py) and stands in /stage.table,
 * records of strings that end with NUL, each preceded by its count of fields.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/dm-ioctl.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <time.h>
#include <unistd.h>

#define TABLE "/stage.table"
#define MAGIC "linuxkit-stage"
#define VERSION "1"
#define MAX_TABLE 65536
#define MAX_FIELDS 8
#define MAX_MATCH 128  /* bytes that tell a file system from every other */
#define WAIT_MS 30000  /* for the disk */
#define PAUSE_NS 50000000L
#define COMPRESSED 4 /* MODULE_INIT_COMPRESSED_FILE */
#define NEW_ROOT "/root"

struct device {
	char path[64];
	unsigned major, minor;
};

struct buffer {
	size_t size;
	char data[MAX_TABLE];
};

static struct device devices[2]; /* by role: root, hash */
static struct buffer table;

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

static void read_table(void)
{
	int fd = open(TABLE, O_RDONLY | O_CLOEXEC);
	ssize_t got = 0;

	if (fd < 0)
		fail("%s: %s", TABLE, strerror(errno));
	while (table.size < sizeof table.data &&
	       (got = read(fd, table.data + table.size, sizeof table.data - table.size)) > 0)
		table.size += (size_t)got;
	close(fd);
	if (!table.size || table.size == sizeof table.data || table.data[table.size - 1])
		fail("%s: empty, too long or cut off", TABLE);
}

/* The string at *at, which moves behind it. */
static char *next(size_t *at)
{
	char *found = table.data + *at;

	if (*at >= table.size)
		fail("%s: ends early", TABLE);
	*at += strlen(found) + 1;
	return found;
}

static void load_module(const char *path)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	size_t length = strlen(path);
	bool plain = length > 3 && strcmp(path + length - 3, ".ko") == 0;

	if (fd < 0)
		fail("%s: %s", path, strerror(errno));
	/* Not for hardware that this machine lacks, nor without the module that is for it. */
	if (syscall(SYS_finit_module, fd, "", plain ? 0 : COMPRESSED) < 0 && errno != EEXIST &&
	    errno != ENODEV && errno != ENOENT)
		fprintf(stderr, "stage: %s: %s\n", path, strerror(errno));
	close(fd);
	(void)unlink(path); /* its memory is of use elsewhere */
}

static size_t from_hex(const char *text, unsigned char *out)
{
	static const char digits[] = "0123456789abcdef";
	size_t count = 0;

	for (; text[0] && text[1] && count < MAX_MATCH; text += 2) {
		const char *high = strchr(digits, text[0]), *low = strchr(digits, text[1]);

		if (!high || !low)
			fail("%s: not a number: %s", TABLE, text);
		out[count++] = (unsigned char)((high - digits) << 4 | (low - digits));
	}
	return count;
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
	size_t count = from_hex(hex, wanted);

	for (long waited = 0; waited < WAIT_MS; waited += PAUSE_NS / 1000000) {
		if (look(device, strtoll(offset, NULL, 10), wanted, count))
			return;
		(void)nanosleep(&pause, NULL);
	}
	fail("no disk holds the %s of this system: is it attached, and is there a driver for it?",
	     strcmp(role, "root") ? "hash tree" : "root file system");
}

static int dm_call(int fd, unsigned long request, void *data)
{
	return ioctl(fd, (int)request, data); /* musl's ioctl takes an int */
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
		fail("verity %s: %s", parameters, strerror(errno));
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

static _Noreturn void start(char *program)
{
	char *argv[] = {program, NULL};
	char *env[] = {"HOME=/", "TERM=linux", NULL};

	(void)unlink(TABLE);
	(void)unlink("/init");
	(void)umount2("/sys", MNT_DETACH);
	(void)umount2("/dev", MNT_DETACH);
	if (chdir(NEW_ROOT) < 0 || mount(".", "/", NULL, MS_MOVE, NULL) < 0 || chroot(".") < 0 ||
	    chdir("/") < 0)
		fail("moving the root: %s", strerror(errno));
	(void)execve(program, argv, env);
	fail("%s: %s", program, strerror(errno));
}

static void obey(const char *name, char *const fields[])
{
	if (strcmp(name, "module") == 0)
		load_module(fields[0]);
	else if (strcmp(name, "find") == 0)
		find(fields[0], fields[1], fields[2]);
	else if (strcmp(name, "verity") == 0)
		verity(fields[0], fields[1]);
	else if (strcmp(name, "mount") == 0)
		mount_root(fields[0], fields[1]);
	else if (strcmp(name, "start") == 0)
		start(fields[0]);
	else
		fail("%s: unknown record %s", TABLE, name);
}

int main(void)
{
	char empty[] = "";
	size_t at = 0;

	if (getpid() != 1) {
		fputs("stage: this is the first program of a machine\n", stderr);
		return 2;
	}
	(void)mount("dev", "/dev", "devtmpfs", MS_NOSUID | MS_NOEXEC, "mode=755");
	(void)mount("sysfs", "/sys", "sysfs", MS_NOSUID | MS_NOEXEC | MS_NODEV, NULL);
	open_console();
	read_table();
	if (strcmp(next(&at), MAGIC) != 0 || strcmp(next(&at), VERSION) != 0)
		fail("%s: not of this version", TABLE);
	for (;;) {
		char *fields[MAX_FIELDS];
		long count = strtol(next(&at), NULL, 10);
		char *name = next(&at);

		if (count < 0 || count > MAX_FIELDS)
			fail("%s: %s has %ld fields", TABLE, name, count);
		for (long i = 0; i < MAX_FIELDS; i++)
			fields[i] = i < count ? next(&at) : empty;
		obey(name, fields);
	}
}
