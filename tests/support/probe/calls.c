/* System calls that a container may not need. */
#include <errno.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "probe.h"

static void try_call(const char *name, long number, long a, long b, long c, long d, long e)
{
	say(name, syscall(number, a, b, c, d, e, 0L));
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

void calls(void)
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

void memory(void)
{
	void *both = mmap(NULL, 4096, PROT_WRITE | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	void *first = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	say("map-writable-code", both == MAP_FAILED ? -1 : 0);
	say("make-code", mprotect(first, 4096, PROT_READ | PROT_EXEC));
}
