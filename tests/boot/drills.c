/*
 * Attacks on the kernel, each of which has to be refused; the status is 1 if one was not.
 *   drills root     as root outside of every namespace, with all capabilities
 *   drills service  as a service usually runs
 * Every line that is printed is "NAME refused ERRNO" or "NAME OPEN".
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <linux/bpf.h>
#include <linux/perf_event.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/klog.h>
#include <sys/mount.h>
#include <sys/ptrace.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#ifndef __NR_io_uring_setup
#define __NR_io_uring_setup 425
#endif

/* Only the image of the drills has this folder: elsewhere nothing can be mounted by mistake. */
#define TARGET "/drill-target"

struct drill {
	const char *name;
	int (*attack)(void); /* 0 when it worked, else its errno */
	int expected;        /* 0: any errno */
};

static int result(long returned)
{
	return returned < 0 ? errno : 0;
}

static int try_open(const char *path, int flags)
{
	int fd = open(path, flags | O_CLOEXEC);

	if (fd < 0)
		return errno;
	close(fd);
	return 0;
}

static int dev_mem(void) { return try_open("/dev/mem", O_RDONLY); }
static int dev_port(void) { return try_open("/dev/port", O_RDWR); }
static int kcore(void) { return try_open("/proc/kcore", O_RDONLY); }
static int sysrq(void) { return try_open("/proc/sysrq-trigger", O_WRONLY); }
static int core_pattern(void) { return try_open("/proc/sys/kernel/core_pattern", O_WRONLY); }
static int kptr(void) { return try_open("/proc/sys/kernel/kptr_restrict", O_WRONLY); }
static int kmsg(void) { return try_open("/dev/kmsg", O_RDONLY); }
static int kexec(void) { return result(syscall(SYS_kexec_load, 0UL, 0UL, NULL, 0UL)); }
static int module(void) { return result(syscall(SYS_init_module, "\177ELF", 4UL, "")); }
static int uffd(void) { return result(syscall(SYS_userfaultfd, 0)); }
static int dmesg(void)
{
	char text[64];

	return result(klogctl(3, text, sizeof text)); /* SYSLOG_ACTION_READ_ALL */
}

static int io_uring(void)
{
	char parameters[120] = {0};

	return result(syscall(__NR_io_uring_setup, 4, parameters));
}

static int iopl3(void)
{
#ifdef SYS_iopl
	return result(syscall(SYS_iopl, 3));
#else
	return ENOSYS;
#endif
}

static int ldt(void)
{
#ifdef SYS_modify_ldt
	char entry[16] = {0};

	return result(syscall(SYS_modify_ldt, 1, entry, sizeof entry));
#else
	return ENOSYS;
#endif
}

static int perf(void)
{
	struct perf_event_attr attributes = {
		.type = PERF_TYPE_SOFTWARE,
		.size = sizeof attributes,
		.config = PERF_COUNT_SW_CPU_CLOCK,
	};

	return result(syscall(SYS_perf_event_open, &attributes, -1, 0, -1, 0UL));
}

/* The registers of the kernel at an interrupt, which lockdown keeps from root too. */
static int perf_registers(void)
{
	struct perf_event_attr attributes = {
		.type = PERF_TYPE_SOFTWARE,
		.size = sizeof attributes,
		.config = PERF_COUNT_SW_CPU_CLOCK,
		.sample_period = 100000,
		.sample_type = PERF_SAMPLE_REGS_INTR,
		.sample_regs_intr = 1,
	};

	return result(syscall(SYS_perf_event_open, &attributes, 0, -1, -1, 0UL));
}

static int bpf(void)
{
	union bpf_attr attributes = {
		.map_type = BPF_MAP_TYPE_ARRAY, .key_size = 4, .value_size = 4, .max_entries = 1,
	};

	return result(syscall(SYS_bpf, BPF_MAP_CREATE, &attributes, sizeof attributes));
}

/* Whether the kernel's symbols have addresses. */
static int kallsyms(void)
{
	FILE *file = fopen("/proc/kallsyms", "re");
	unsigned long address = 0;
	int got;

	if (!file)
		return errno;
	got = fscanf(file, "%lx", &address);
	(void)fclose(file);
	return got == 1 && address ? 0 : EPERM;
}

static int trace(pid_t pid)
{
	if (ptrace(PTRACE_ATTACH, pid, NULL, NULL) < 0)
		return errno;
	(void)waitpid(pid, NULL, 0);
	(void)ptrace(PTRACE_DETACH, pid, NULL, NULL);
	return 0;
}

static int trace_init(void) { return trace(1); }

/* A sibling of ours: same user, same namespaces. */
static int trace_sibling(void)
{
	pid_t pid = fork();
	int error;

	if (pid == 0) {
		(void)pause();
		_exit(0);
	}
	if (pid < 0)
		return errno;
	error = trace(pid);
	(void)kill(pid, SIGKILL);
	(void)waitpid(pid, NULL, 0);
	return error;
}

static int mount_kind(const char *kind)
{
	return result(mount("none", TARGET, kind, 0, NULL));
}

static int debugfs(void) { return mount_kind("debugfs"); }
static int tracefs(void) { return mount_kind("tracefs"); }
static int binfmt(void) { return mount_kind("binfmt_misc"); }
static int tmpfs(void) { return mount_kind("tmpfs"); }

/* What even root cannot do, because the kernel has no such door or keeps it locked. */
static const struct drill of_root[] = {
	{"dev-mem", dev_mem, ENXIO},
	{"dev-port", dev_port, ENXIO},
	{"kcore", kcore, ENOENT},
	{"sysrq", sysrq, ENOENT},
	{"kexec", kexec, ENOSYS},
	{"module", module, ENOSYS},
	{"iopl", iopl3, ENOSYS},
	{"modify-ldt", ldt, ENOSYS},
	{"userfaultfd", uffd, ENOSYS},
	{"io-uring", io_uring, ENOSYS},
	{"perf-registers", perf_registers, EPERM},
	{"kallsyms", kallsyms, 0},
	{"ptrace-init", trace_init, EPERM},
	{"ptrace-sibling", trace_sibling, EPERM},
	{"debugfs", debugfs, ENODEV},
	{"tracefs", tracefs, ENODEV},
	{"binfmt-misc", binfmt, ENODEV},
};

static const struct drill of_service[] = {
	{"dev-mem", dev_mem, ENOENT},
	{"kcore", kcore, 0},
	{"kexec", kexec, 0},
	{"module", module, 0},
	{"iopl", iopl3, 0},
	{"userfaultfd", uffd, 0},
	{"io-uring", io_uring, 0},
	{"bpf", bpf, EPERM},
	{"perf", perf, 0},
	{"dmesg", dmesg, EPERM},
	{"kmsg", kmsg, ENOENT},
	{"kallsyms", kallsyms, 0},
	{"ptrace-sibling", trace_sibling, EPERM},
	{"core-pattern", core_pattern, ENOENT},
	{"kptr-restrict", kptr, EROFS},
	{"mount", tmpfs, EPERM},
};

static int run(const struct drill *drills, size_t count)
{
	int bad = 0;

	for (size_t i = 0; i < count; i++) {
		int error = drills[i].attack();
		int wrong = !error || (drills[i].expected && error != drills[i].expected);

		bad |= wrong;
		printf("drill %s %s %s\n", drills[i].name, error ? "refused" : "OPEN",
		       error ? strerrorname_np(error) : "");
		(void)fflush(stdout);
	}
	return bad;
}

int main(int argc, char **argv)
{
	if (access(TARGET, F_OK) < 0) {
		(void)fputs("drills: these are for a machine that is there to be attacked\n", stderr);
		return 2;
	}
	if (argc == 2 && !strcmp(argv[1], "root"))
		return run(of_root, sizeof of_root / sizeof *of_root);
	if (argc == 2 && !strcmp(argv[1], "service"))
		return run(of_service, sizeof of_service / sizeof *of_service);
	return 2;
}
