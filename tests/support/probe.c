/*
 * Tries what a container may or may not do, and prints "name result" lines: "ok", the name of an
 * error, or a value that was read.  It judges nothing; the test that started it does.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <sched.h>
#include <signal.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static const char *error_name(int number)
{
	switch (number) {
	case 0: return "ok";
	case EPERM: return "EPERM";
	case EACCES: return "EACCES";
	case ENOSYS: return "ENOSYS";
	case ENOENT: return "ENOENT";
	case EROFS: return "EROFS";
	case ENOSPC: return "ENOSPC";
	case EAGAIN: return "EAGAIN";
	case EFAULT: return "EFAULT";
	case EINVAL: return "EINVAL";
	case ECONNREFUSED: return "ECONNREFUSED";
	case ENETUNREACH: return "ENETUNREACH";
	case EAFNOSUPPORT: return "EAFNOSUPPORT";
	case EBADF: return "EBADF";
	case ESRCH: return "ESRCH";
	default: return strerror(number);
	}
}

static void say(const char *name, long result)
{
	printf("%s %s\n", name, result < 0 ? error_name(errno) : "ok");
}

static void say_text(const char *name, const char *text)
{
	printf("%s %s\n", name, text);
}

static void try_call(const char *name, long number, long a, long b, long c, long d, long e)
{
	say(name, syscall(number, a, b, c, d, e));
}

/* What becomes of a child that does this: "ok", an error, or the signal that ended it. */
static void in_child(const char *name, int (*act)(void))
{
	pid_t child = fork();
	int status = 0;

	if (child == 0)
		_exit(act());
	if (child < 0 || waitpid(child, &status, 0) < 0)
		say(name, -1);
	else if (WIFSIGNALED(status))
		printf("%s signal-%d\n", name, WTERMSIG(status));
	else
		say_text(name, error_name(WEXITSTATUS(status)));
}

static void read_lines(const char *path, const char *const *keys)
{
	FILE *file = fopen(path, "r");
	char line[512];

	while (file && fgets(line, sizeof line, file)) {
		for (const char *const *key = keys; *key; key++) {
			if (strncmp(line, *key, strlen(*key)) == 0)
				printf("%.*s %s", (int)strlen(*key) - 1, line, line + strlen(*key) + 1);
		}
	}
	if (file)
		fclose(file);
}

static void first_line(const char *name, const char *path)
{
	FILE *file = fopen(path, "r");
	char line[256] = "";

	if (!file) {
		say(name, -1);
		return;
	}
	if (fgets(line, sizeof line, file))
		line[strcspn(line, "\n")] = '\0';
	fclose(file);
	say_text(name, line);
}

static void names_in(const char *name, const char *path)
{
	DIR *directory = opendir(path);
	struct dirent *entry;

	printf("%s", name);
	while (directory && (entry = readdir(directory)))
		if (strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0 &&
				(strcmp(path, "/proc/self/fd") != 0 || atoi(entry->d_name) != dirfd(directory)))
			printf(" %s", entry->d_name);
	printf("\n");
	if (directory)
		closedir(directory);
}

static void identity(void)
{
	static const char *const keys[] = {"Uid:", "CapInh:", "CapPrm:", "CapEff:", "CapBnd:", "CapAmb:",
		"NoNewPrivs:", "Seccomp:", NULL};
	static const char *const kinds[] = {"cgroup", "ipc", "mnt", "net", "pid", "time", "user", "uts"};

	read_lines("/proc/self/status", keys);
	first_line("uid-map", "/proc/self/uid_map");
	first_line("cgroup", "/proc/self/cgroup");
	first_line("oom-score-adj", "/proc/self/oom_score_adj");
	for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++) {
		char path[64], link[64] = "";

		snprintf(path, sizeof path, "/proc/self/ns/%s", kinds[i]);
		if (readlink(path, link, sizeof link - 1) < 0)
			snprintf(link, sizeof link, "%s", error_name(errno));
		printf("ns-%s %s\n", kinds[i], link);
	}
	for (size_t i = 0; i < 2; i++) {
		struct timespec now;

		clock_gettime(i ? CLOCK_BOOTTIME : CLOCK_MONOTONIC, &now);
		printf("%s-days %ld\n", i ? "boottime" : "monotonic", (long)(now.tv_sec / 86400));
	}
	char host[65] = "";
	gethostname(host, sizeof host);
	say_text("hostname", host);
	names_in("fds", "/proc/self/fd");
	names_in("dev", "/dev");
}

static void limit(const char *name, int kind)
{
	struct rlimit found;

	getrlimit(kind, &found);
	printf("%s %lld\n", name, (long long)found.rlim_max);
}

static int open_new_user(void) { return unshare(CLONE_NEWUSER) < 0 ? errno : 0; }

static int clone_new_user(void)
{
	long child = syscall(SYS_clone, CLONE_NEWUSER | SIGCHLD, 0, 0, 0, 0);

	if (child == 0)
		_exit(0);
	return child < 0 ? errno : 0;
}

#ifdef __x86_64__
static int call_i386(void)
{
	long result;

	__asm__ volatile("int $0x80" : "=a"(result) : "a"(20L) : "memory"); /* getpid */
	return result < 0 ? (int)-result : 0;
}

static int call_x32(void) { return syscall(0x40000000L | SYS_getpid) < 0 ? errno : 0; }
#endif

static void calls(void)
{
	static char word[64];

	try_call("call-unknown", 1000, 0, 0, 0, 0, 0);
	try_call("call-clone3", SYS_clone3, 0, 0, 0, 0, 0);
	try_call("call-ptrace", SYS_ptrace, 16, 999999, 0, 0, 0); /* PTRACE_ATTACH */
	try_call("call-process-vm-readv", SYS_process_vm_readv, getpid(), 0, 0, 0, 0);
	try_call("call-keyctl", SYS_keyctl, 0, -3, 0, 0, 0);
	try_call("call-bpf", SYS_bpf, 0, 0, 0, 0, 0);
	try_call("call-perf", SYS_perf_event_open, 0, 0, -1, -1, 0);
	try_call("call-userfaultfd", SYS_userfaultfd, 1, 0, 0, 0, 0);
	try_call("call-io-uring", SYS_io_uring_setup, 1, 0, 0, 0, 0);
	try_call("call-mount", SYS_mount, (long)"none", (long)"/tmp", (long)"tmpfs", 0, 0);
	try_call("call-setns", SYS_setns, -1, 0, 0, 0, 0);
	try_call("call-init-module", SYS_init_module, 0, 0, 0, 0, 0);
	try_call("call-settimeofday", SYS_settimeofday, 0, 0, 0, 0, 0);
	try_call("call-shmget", SYS_shmget, 0, 4096, 01600, 0, 0);
	try_call("call-personality", SYS_personality, 0x0040000, 0, 0, 0, 0);
	try_call("call-sethostname", SYS_sethostname, (long)"other", 5, 0, 0, 0);
	try_call("call-chroot", SYS_chroot, (long)"/", 0, 0, 0, 0);
	try_call("call-syslog", SYS_syslog, 3, (long)word, sizeof word, 0, 0);
	try_call("call-setgroups", SYS_setgroups, 0, 0, 0, 0, 0);
	try_call("call-sched-fifo", SYS_sched_setscheduler, 0, 3, (long)word, 0, 0); /* SCHED_BATCH */
	in_child("new-user-namespace", open_new_user);
	in_child("clone-user-namespace", clone_new_user);
#ifdef __x86_64__
	in_child("call-i386", call_i386);
	in_child("call-x32", call_x32);
#endif
}

static void try_bind(const char *name, uint16_t port)
{
	struct sockaddr_in at = {.sin_family = AF_INET, .sin_port = htons(port)};
	int fd = socket(AF_INET, SOCK_STREAM, 0);

	at.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	say(name, bind(fd, (struct sockaddr *)&at, sizeof at));
	close(fd);
}

static void try_connect(const char *name, uint16_t port)
{
	struct sockaddr_in at = {.sin_family = AF_INET, .sin_port = htons(port)};
	int fd = socket(AF_INET, SOCK_STREAM, 0);

	at.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	say(name, connect(fd, (struct sockaddr *)&at, sizeof at));
	close(fd);
}

/* A name without a file: "listen" makes it, others try to reach it. */
static int abstract(bool make)
{
	struct sockaddr_un at = {.sun_family = AF_UNIX, .sun_path = "\0linuxkit-probe"};
	socklen_t size = offsetof(struct sockaddr_un, sun_path) + sizeof "\0linuxkit-probe" - 1;
	int fd = socket(AF_UNIX, SOCK_STREAM, 0);

	if (make)
		return bind(fd, (struct sockaddr *)&at, size) < 0 ? -1 : listen(fd, 9);
	return connect(fd, (struct sockaddr *)&at, size);
}

static void sockets(void)
{
	static const struct { const char *name; int family, kind; } families[] = {
		{"socket-unix", AF_UNIX, SOCK_STREAM}, {"socket-inet", AF_INET, SOCK_STREAM},
		{"socket-inet6", AF_INET6, SOCK_STREAM}, {"socket-netlink", AF_NETLINK, SOCK_RAW},
		{"socket-packet", AF_PACKET, SOCK_RAW}, {"socket-alg", 38, SOCK_SEQPACKET},
		{"socket-vsock", 40, SOCK_STREAM},
	};

	for (size_t i = 0; i < sizeof families / sizeof *families; i++)
		say(families[i].name, socket(families[i].family, families[i].kind, 0));
	try_bind("bind-8080", 8080);
	try_bind("bind-9090", 9090);
	try_connect("connect-7070", 7070);
	try_connect("connect-6060", 6060);
	say("abstract-connect", abstract(false));

	FILE *file = fopen("/proc/self/net/dev", "r");
	char line[256], *name;
	printf("interfaces");
	for (int i = 0; file && fgets(line, sizeof line, file); i++)
		if (i > 1 && (name = strtok(line, " :")))
			printf(" %s", name);
	printf("\n");
}

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

static void files(void)
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

static void memory(void)
{
	void *both = mmap(NULL, 4096, PROT_WRITE | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	void *first = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	say("map-writable-code", both == MAP_FAILED ? -1 : 0);
	say("make-code", mprotect(first, 4096, PROT_READ | PROT_EXEC));
}

static void processes(void)
{
	pid_t made[300];
	int count = 0;

	while (count < 300 && (made[count] = fork()) >= 0) {
		if (made[count] == 0) {
			pause();
			_exit(0);
		}
		count++;
	}
	printf("processes %d\n", count);
	for (int i = 0; i < count; i++)
		kill(made[i], SIGKILL);
	while (waitpid(-1, NULL, 0) > 0)
		;
}

/* As sd_notify(3), where somebody listens. */
static void tell_ready(void)
{
	const char *path = getenv("NOTIFY_SOCKET");
	struct sockaddr_un to = {.sun_family = AF_UNIX};
	int fd = socket(AF_UNIX, SOCK_DGRAM, 0);

	if (!path || strlen(path) >= sizeof to.sun_path)
		return;
	memcpy(to.sun_path, path, strlen(path));
	say("notify", sendto(fd, "READY=1", 7, 0, (struct sockaddr *)&to, sizeof to));
}

/* Nodes of devices that whoever may make them makes: the null device, and the kernel's log. */
static void devices(void)
{
	say("make-null", mknod("/null", S_IFCHR | 0600, 0x103));
	try_open("open-made-null", "/null", O_WRONLY);
	say("make-kmsg", mknod("/kmsg", S_IFCHR | 0600, 0x10b));
	try_open("open-made-kmsg", "/kmsg", O_WRONLY);
}

static int devour(void)
{
	for (int i = 0; i < 4096; i++) {
		volatile char *block = malloc(1 << 20);

		for (int at = 0; block && at < 1 << 20; at += 4096)
			block[at] = 1;
	}
	return 0;
}

/* Children of children, left behind for whoever reaps here. */
static int leave_orphans(int wanted)
{
	for (int i = 0; i < wanted; i++) {
		pid_t child = fork();

		if (child == 0)
			_exit(fork() == 0 ? (usleep(50000), 0) : 0);
		if (child < 0 || waitpid(child, NULL, 0) < 0)
			return 1;
	}
	say_text("orphans", "left");
	return 0;
}

/* One line after the other, each said when the disk has it; and bytes that it need not have. */
static int keep_writing(const char *folder)
{
	static char block[65536];
	char path[256];
	int kept, noise;

	snprintf(path, sizeof path, "%s/kept", folder);
	kept = open(path, O_CREAT | O_WRONLY | O_APPEND, 0600);
	snprintf(path, sizeof path, "%s/noise", folder);
	noise = open(path, O_CREAT | O_WRONLY, 0600);
	if (kept < 0 || noise < 0)
		return 1;
	for (int i = 1;; i++) {
		if (dprintf(kept, "%d\n", i) < 0 || fsync(kept) < 0)
			return 1;
		printf("kept %d\n", i);
		for (int n = 0; n < 8; n++)
			if (pwrite(noise, block, sizeof block, (i * 8 + n) % 256 * (off_t)sizeof block) < 0)
				return 1;
		usleep(100000); /* the console of a unit takes some KiB a second */
	}
}

int main(int count, char **words)
{
	const char *verb = count > 1 ? words[1] : "";

	setvbuf(stdout, NULL, _IOLBF, 0);
	if (strcmp(verb, "nothing") == 0)
		return 0;
	if (strcmp(verb, "devour") == 0)
		return devour();
	if (strcmp(verb, "orphans") == 0 && count > 2)
		return leave_orphans(atoi(words[2]));
	if (strcmp(verb, "write") == 0 && count > 2)
		return keep_writing(words[2]);
	if (strcmp(verb, "devices") == 0)
		devices();
	if (strcmp(verb, "listen") == 0) {
		say("abstract-listen", abstract(true));
		tell_ready();
		for (;;)
			pause();
	}
	identity();
	limit("limit-core", RLIMIT_CORE);
	limit("limit-nofile", RLIMIT_NOFILE);
	limit("limit-memlock", RLIMIT_MEMLOCK);
	sleep(1); /* the console of a unit takes some KiB a second */
	calls();
	sleep(1);
	sockets();
	files();
	memory();
	processes();
	say_text("done", "ok");
	if (strcmp(verb, "once") == 0)
		return 0;
	for (;;)
		pause();
}
