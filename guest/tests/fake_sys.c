/* The bodies of sys.h for tests: mounts, children, time and the kernel; those of files are in fake_files.c. */
#include "fake_sys.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../init/sys.h"

struct fake fake;
static struct {
	int pid, status, signal;
} ended[64];
static size_t ended_count;

void fake_trace(const char *format, ...)
{
	size_t used = strlen(fake.trace);
	va_list list;

	va_start(list, format);
	vsnprintf(fake.trace + used, sizeof fake.trace - used, format, list);
	va_end(list);
}

void fake_reset(void)
{
	fake_files_reset();
	memset(&fake, 0, sizeof fake);
	ended_count = 0;
	fake.next_pid = 100;
	fake.now = 1000;
}

void fake_ended(int pid, int status, int signal)
{
	ended[ended_count].pid = pid;
	ended[ended_count].status = status;
	ended[ended_count++].signal = signal;
}

int fake_times(const char *line)
{
	int count = 0;
	size_t length = strlen(line);

	for (const char *s = fake.trace; (s = strstr(s, line)); s += length)
		count += (s == fake.trace || s[-1] == '\n') && (s[length] == '\n' || !s[length]);
	return count;
}

bool fake_did(const char *line) { return fake_times(line) > 0; }

int sys_chdir(const char *path) { fake_trace("chdir %s\n", path); return 0; }
int sys_chroot(const char *path) { fake_trace("chroot %s\n", path); return 0; }
int sys_duplicate(int from, int to) { (void)from; return to; }
void sys_fill_standard(void) {}
int sys_raw_terminal(int fd) { (void)fd; return 0; }
void *sys_allocate(size_t size) { return calloc(1, size); }

int sys_mount(const char *source, const char *target, const char *type, unsigned long flags,
	      const char *data)
{
	fake_trace("mount %s %s %s %lu %s\n", source ? source : "-", target, type ? type : "-", flags,
	      data ? data : "-");
	return fake.mount_error;
}

int sys_umount(const char *target, int flags)
{
	fake_trace("umount %s %d\n", target, flags);
	return 0;
}

int sys_is_memory_fs(const char *path) { (void)path; return 1; }
void sys_sync(void) { fake_trace("sync\n"); }

int sys_fork(void)
{
	if (fake.fork_error)
		return fake.fork_error;
	if (!fake.next_pid)
		return 0;
	fake_trace("fork %d\n", fake.next_pid);
	return fake.next_pid++;
}

_Noreturn void sys_exit(int status)
{
	fake_trace("exit %d\n", status);
	longjmp(fake.child_over, 1);
}

int sys_exec(char *const argv[], char *const environment[])
{
	(void)environment;
	fake_trace("exec");
	for (int i = 0; argv[i]; i++)
		fake_trace(" %s", argv[i]);
	fake_trace("\n");
	return -ENOENT;
}

int sys_kill(int pid, int signal)
{
	fake_trace("kill %d %d\n", pid, signal);
	return 0;
}

int sys_reap(int *ret_status, int *ret_signal)
{
	int pid = ended[0].pid;

	if (!ended_count)
		return fake.childless ? -ECHILD : 0;
	*ret_status = ended[0].status;
	*ret_signal = ended[0].signal;
	memmove(ended, ended + 1, --ended_count * sizeof ended[0]);
	return pid;
}

void sys_new_session(void) {}
void sys_umask(unsigned mask) { (void)mask; }
void sys_default_signals(void) {}
void sys_raise_limits(void) {}

int sys_block_signals(void) { return 0; }
int sys_next_signal(int fd) { (void)fd; return 0; }
int sys_epoll(void) { return 0; }

int sys_watch(int epoll, int fd, uint32_t events, uint64_t key)
{
	(void)epoll, (void)fd, (void)events, (void)key;
	return 0;
}

void sys_unwatch(int epoll, int fd) { (void)epoll, (void)fd; }

int sys_wait_events(int epoll, struct epoll_event *events, int count)
{
	(void)epoll, (void)events, (void)count;
	return 0;
}

int sys_timer(void) { return 0; }
int sys_set_timer(int fd, int64_t at_ms) { (void)fd; fake.timer = at_ms; return 0; }
int64_t sys_now(void) { return fake.now; }
int64_t sys_clock(void) { return fake.clock; }
bool sys_hung_up(int fd) { (void)fd; return fake.hung_up; }
int sys_pid(void) { return 1; }

const char *sys_kernel_release(void) { return "6.12"; }
int sys_hostname(const char *name) { fake_trace("hostname %s\n", name); return 0; }
int sys_loopback_up(void) { fake_trace("loopback\n"); return 0; }
int sys_clock_from_rtc(const char *device) { fake_trace("rtc %s\n", device); return 0; }
int sys_uevents(void) { return -ENOSYS; }
int sys_own_ctrl_alt_del(void) { return 0; }

int sys_memory(int64_t *ret_total_kib, int64_t *ret_available_kib)
{
	*ret_total_kib = 2000;
	*ret_available_kib = 1500;
	return 0;
}

int sys_reboot(unsigned command)
{
	fake_trace("reboot %x\n", command);
	return 0;
}

int sys_join_namespace(const char *path) { fake_trace("join %s\n", path); return 0; }
void sys_rest(int64_t ms) { fake.now += ms; }

int sys_ask_routes(const void *request, size_t size)
{
	const unsigned char *bytes = request;
	unsigned type = bytes[4];

	fake_trace("routes %u %zu\n", type, size);
	return type == 18 /* RTM_GETLINK */ ? -ENODEV : fake.routes_error;
}

int sys_connect_here(unsigned port) { fake_trace("connect %u\n", port); return fake.connect_error; }
int sys_set_watchdog(int fd, unsigned seconds) { (void)fd; fake_trace("watchdog %u\n", seconds); return 0; }
