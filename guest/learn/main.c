/*
 * learn FOLDER PROGRAM [ARGUMENT...]
 *
 * Runs a program and counts its system calls in FOLDER/calls.  It comes behind confine in a container
 * that was built to learn: what the profile refuses is refused before it gets here.  Each call waits
 * until it has been counted (seccomp_unotify(2)), so none can be lost, however the program ends.
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <linux/filter.h>
#include <linux/seccomp.h>

#include "../include/layout.h"

#ifndef SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV
#define SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV (1UL << 5)
#endif

#define STATUS_FAILED 125
#define LOOK_MS 100 /* for a child that ended just before it was waited for */

/* FOLDER/calls; build/sandbox/learned.py reads it.  Several programs of a container share it. */
struct calls {
	_Atomic uint32_t arch; /* AUDIT_ARCH_… */
	_Atomic uint32_t counts[LEARNED_CALLS];
};

static pid_t program;

static int fail(const char *what, int error)
{
	dprintf(STDERR_FILENO, "learn: %s: %s\n", what, strerror(error));
	return STATUS_FAILED;
}

static struct calls *open_calls(const char *folder)
{
	int at = open(folder, O_PATH | O_DIRECTORY | O_CLOEXEC);
	int fd = openat(at, "calls", O_RDWR | O_CREAT | O_NOFOLLOW | O_CLOEXEC, 0600);
	struct calls *calls;

	if (fd < 0 || ftruncate(fd, sizeof *calls) < 0)
		return NULL;
	calls = mmap(NULL, sizeof *calls, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	return calls == MAP_FAILED ? NULL : calls;
}

/* A child that has the same table of open files until it runs another program. */
static pid_t fork_with_files(void)
{
#ifdef __s390x__
	return (pid_t)syscall(SYS_clone, 0, CLONE_FILES | SIGCHLD, 0, 0, 0);
#else
	return (pid_t)syscall(SYS_clone, CLONE_FILES | SIGCHLD, 0, 0, 0, 0);
#endif
}

/* Loads a filter that asks about every call, tells its descriptor, and becomes the program. */
static _Noreturn void become(char **words, _Atomic int *ret_listener)
{
	struct sock_filter ask = BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_USER_NOTIF);
	struct sock_fprog filter = {.len = 1, .filter = &ask};
	unsigned long flags = SECCOMP_FILTER_FLAG_NEW_LISTENER | SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV;
	long listener;

	prctl(PR_SET_PDEATHSIG, SIGKILL);
	listener = syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, flags, &filter);
	if (listener < 0)
		_exit(fail("asking about system calls", errno));
	atomic_store(ret_listener, (int)listener); /* from here on each call waits */
	execvp(words[0], words);
	_exit(fail(words[0], errno));
}

static void count_one(int listener, struct calls *calls)
{
	union {
		struct seccomp_notif asked;
		char room[256]; /* later kernels may say more */
	} call = {0};
	struct seccomp_notif_resp answer = {.flags = SECCOMP_USER_NOTIF_FLAG_CONTINUE};
	unsigned number;

	if (syscall(SYS_ioctl, listener, SECCOMP_IOCTL_NOTIF_RECV, &call) < 0)
		return; /* a signal came, or who asked is gone */
	number = (unsigned)call.asked.data.nr;
	atomic_store(&calls->arch, call.asked.data.arch);
	if (number < LEARNED_CALLS && atomic_load(&calls->counts[number]) < UINT32_MAX / 2)
		atomic_fetch_add(&calls->counts[number], 1);
	answer.id = call.asked.id;
	(void)syscall(SYS_ioctl, listener, SECCOMP_IOCTL_NOTIF_SEND, &answer);
}

/* Collects children; true with the program's status when it is among them. */
static bool has_ended(int *ret_status)
{
	int status;
	pid_t gone;

	while ((gone = waitpid(-1, &status, WNOHANG)) > 0) {
		if (gone != program)
			continue;
		*ret_status = WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
		return true;
	}
	return false;
}

static void pass_on(int signal)
{
	int error = errno;

	kill(program, signal);
	errno = error;
}

/* What is sent to the first process of a container is meant for the program. */
static void catch_signals(void)
{
	static const int own[] = {SIGKILL, SIGSTOP, SIGCHLD, SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGTRAP, SIGSYS};
	struct sigaction act = {.sa_handler = pass_on};

	for (int signal = 1; signal <= SIGRTMAX; signal++) {
		bool is_own = false;

		for (size_t i = 0; i < sizeof own / sizeof own[0]; i++)
			is_own = is_own || own[i] == signal;
		if (!is_own)
			(void)sigaction(signal, &act, NULL);
	}
}

int main(int count, char **words)
{
	_Atomic int *listener = mmap(NULL, sizeof *listener, PROT_READ | PROT_WRITE,
				     MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	struct calls *calls;
	struct pollfd asked = {.events = POLLIN};
	int status = 0;

	if (count < 3 || listener == MAP_FAILED)
		return fail("usage: learn FOLDER PROGRAM [ARGUMENT...]", EINVAL);
	calls = open_calls(words[1]);
	if (!calls)
		return fail(words[1], errno);
	atomic_store(listener, -1);
	program = fork_with_files();
	if (program < 0)
		return fail("a process for the program", errno);
	if (program == 0)
		become(&words[2], listener);
	catch_signals();
	while (atomic_load(listener) < 0) {
		if (has_ended(&status))
			return status;
		nanosleep(&(struct timespec){.tv_nsec = 1000000}, NULL);
	}
	asked.fd = atomic_load(listener);
	while (!has_ended(&status)) {
		if (poll(&asked, 1, LOOK_MS) <= 0)
			continue;
		if (asked.revents & POLLIN)
			count_one(asked.fd, calls);
		else
			asked.fd = -1; /* nobody is left to ask */
	}
	return status;
}
