/* What can be read, written, made and run. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include "probe.h"

static void try_open(const char *name, const char *path, int flags)
{
	int fd = open(path, flags | O_CLOEXEC, 0600);

	say(name, fd);
	if (fd >= 0)
		close(fd);
}

static int copy_self(const char *path)
{
	static char buffer[65536];
	int from = open("/proc/self/exe", O_RDONLY), to = open(path, O_CREAT | O_WRONLY, 0755);
	ssize_t got;

	if (from < 0 || to < 0)
		return -1;
	while ((got = read(from, buffer, sizeof buffer)) > 0)
		if (write(to, buffer, (size_t)got) != got)
			return -1;
	close(from);
	return close(to);
}

static int run_copy(void)
{
	execl("/tmp/copy", "copy", "nothing", (char *)NULL);
	return errno;
}

static int fill(void)
{
	static char block[65536];
	int fd = open("/tmp/fill", O_CREAT | O_WRONLY, 0600);

	for (int i = 0; i < 640; i++) /* 40 MiB */
		if (write(fd, block, sizeof block) < 0)
			return errno;
	return 0;
}

void files(void)
{
	try_open("write-root", "/probe-file", O_CREAT | O_WRONLY);
	try_open("write-tmp", "/tmp/file", O_CREAT | O_WRONLY);
	try_open("write-own-proc", "/proc/self/comm", O_WRONLY);
	try_open("write-dev", "/dev/file", O_CREAT | O_WRONLY);
	try_open("write-bound", "/bound/file", O_CREAT | O_WRONLY);
	try_open("read-bound", "/bound/there", O_RDONLY);
	try_open("read-kallsyms", "/proc/kallsyms", O_RDONLY);
	try_open("read-core-pattern", "/proc/sys/kernel/core_pattern", O_RDONLY);
	try_open("write-core-pattern", "/proc/sys/kernel/core_pattern", O_WRONLY);
	try_open("read-sys", "/sys/kernel/mm", O_RDONLY);
	try_open("write-null", "/dev/null", O_WRONLY);
	try_open("open-kmsg", "/dev/kmsg", O_WRONLY);
	say("make-device", mknod("/tmp/device", S_IFCHR | 0600, 0x101));
	say("chmod-suid", chmod("/tmp/file", 04755));
	say("chown", chown("/tmp/file", 5, 5));
	say("copy-program", copy_self("/tmp/copy"));
	in_child("run-copy", run_copy);
	in_child("fill-tmp", fill);
	unlink("/tmp/fill");
}

/* Nodes of devices that whoever may make them makes: the null device, and the kernel's log. */
void devices(void)
{
	say("make-null", mknod("/null", S_IFCHR | 0600, 0x103));
	try_open("open-made-null", "/null", O_WRONLY);
	say("make-kmsg", mknod("/kmsg", S_IFCHR | 0600, 0x10b));
	try_open("open-made-kmsg", "/kmsg", O_WRONLY);
}
