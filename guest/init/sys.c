/* The real bodies of sys.h but those of sockets: one call each, with errno turned into the result. */
#include "sys.h"
#include "sys_result.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/rtc.h>
#include <linux/watchdog.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/reboot.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <sys/syscall.h>
#include <sys/timerfd.h>
#include <sys/utsname.h>
#include <sys/wait.h>
#include <termios.h>
#include <time.h>
#include <unistd.h>

#define RAMFS_MAGIC 0x858458f6
#define TMPFS_MAGIC 0x01021994
#define MODULE_COMPRESSED 4 /* MODULE_INIT_COMPRESSED_FILE, Linux 5.17 */
#define MAX_OPEN_FILES 1048576

int sys_open(const char *path, int flags, unsigned mode)
{
	return result(open(path, flags | O_CLOEXEC | O_NOCTTY, mode));
}

void sys_close(int fd)
{
	if (fd >= 0)
		(void)close(fd);
}

ssize_t sys_read(int fd, void *buffer, size_t size) { return result(read(fd, buffer, size)); }

ssize_t sys_write(int fd, const void *buffer, size_t size)
{
	return result(write(fd, buffer, size));
}

ssize_t sys_list(int fd, void *buffer, size_t size)
{
	return result(syscall(SYS_getdents64, fd, buffer, size));
}

int sys_mkdir(const char *path, unsigned mode) { return result(mkdir(path, mode)); }
int sys_chmod(const char *path, unsigned mode) { return result(chmod(path, mode)); }
int sys_symlink(const char *target, const char *path) { return result(symlink(target, path)); }
int sys_rename(const char *from, const char *to) { return result(rename(from, to)); }

int sys_remove(const char *path) { return result(unlink(path)); }

bool sys_exists(const char *path)
{
	return faccessat(AT_FDCWD, path, F_OK, AT_SYMLINK_NOFOLLOW) == 0;
}

ssize_t sys_readlink(const char *path, char *buffer, size_t size)
{
	return result(readlink(path, buffer, size));
}

int64_t sys_file_size(int fd)
{
	struct stat status;

	return fstat(fd, &status) < 0 ? -errno : (int64_t)status.st_size;
}

int sys_chdir(const char *path) { return result(chdir(path)); }
int sys_chroot(const char *path) { return result(chroot(path)); }
int sys_duplicate(int from, int to) { return result(dup2(from, to)); }

void sys_fill_standard(void)
{
	int fd;

	do /* the kernel opens none when it finds no console */
		fd = sys_open("/", O_RDONLY | O_DIRECTORY, 0);
	while (fd >= 0 && fd <= 2);
	sys_close(fd);
}

int sys_raw_terminal(int fd)
{
	struct termios settings;

	if (tcgetattr(fd, &settings) < 0)
		return errno == ENOTTY ? 0 : -errno;
	cfmakeraw(&settings);
	return result(tcsetattr(fd, TCSANOW, &settings));
}

void *sys_allocate(size_t size)
{
	void *pages = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	return pages == MAP_FAILED ? NULL : pages;
}

const void *sys_map(int fd, size_t size)
{
	void *pages = size ? mmap(NULL, size, PROT_READ, MAP_PRIVATE, fd, 0) : MAP_FAILED;

	return pages == MAP_FAILED ? NULL : pages;
}

int sys_mount(const char *source, const char *target, const char *type, unsigned long flags,
	      const char *data)
{
	return result(mount(source, target, type, flags, data));
}

int sys_umount(const char *target, int flags) { return result(umount2(target, flags)); }

int sys_is_memory_fs(const char *path)
{
	struct statfs status;

	if (statfs(path, &status) < 0)
		return -errno;
	return (uint32_t)status.f_type == RAMFS_MAGIC || (uint32_t)status.f_type == TMPFS_MAGIC;
}

void sys_sync(void) { sync(); }
int sys_fork(void) { return result(fork()); }
_Noreturn void sys_exit(int status) { _exit(status); }

int sys_exec(char *const argv[], char *const environment[])
{
	return result(execve(argv[0], argv, environment));
}

int sys_kill(int pid, int signal) { return result(kill(pid, signal)); }

int sys_reap(int *ret_status, int *ret_signal)
{
	int how = 0;
	int pid = result(waitpid(-1, &how, WNOHANG));

	if (pid > 0) {
		*ret_status = WIFEXITED(how) ? WEXITSTATUS(how) : 0;
		*ret_signal = WIFSIGNALED(how) ? WTERMSIG(how) : 0;
	}
	return pid;
}

void sys_new_session(void) { (void)setsid(); }

void sys_umask(unsigned mask) { (void)umask(mask); }

void sys_default_signals(void)
{
	sigset_t none;

	sigemptyset(&none);
	(void)sigprocmask(SIG_SETMASK, &none, NULL);
}

void sys_raise_limits(void)
{
	const struct rlimit files = {MAX_OPEN_FILES, MAX_OPEN_FILES};
	const struct rlimit processes = {RLIM_INFINITY, RLIM_INFINITY};

	(void)setrlimit(RLIMIT_NOFILE, &files);
	(void)setrlimit(RLIMIT_NPROC, &processes);
}

int sys_pipe(int ret_ends[2])
{
	int ends[2];

	if (pipe2(ends, O_CLOEXEC) < 0)
		return -errno;
	(void)fcntl(ends[0], F_SETFL, O_NONBLOCK);
	(void)fchmod(ends[1], 0622); /* for those whose ids are others and who open /dev/stdout */
	ret_ends[0] = ends[0];
	ret_ends[1] = ends[1];
	return 0;
}

int sys_block_signals(void)
{
	sigset_t all;

	sigfillset(&all);
	(void)sigprocmask(SIG_SETMASK, &all, NULL);
	return result(signalfd(-1, &all, SFD_CLOEXEC | SFD_NONBLOCK));
}

int sys_next_signal(int fd)
{
	struct signalfd_siginfo info;

	return read(fd, &info, sizeof info) == (ssize_t)sizeof info ? (int)info.ssi_signo : 0;
}

int sys_epoll(void) { return result(epoll_create1(EPOLL_CLOEXEC)); }

int sys_watch(int epoll, int fd, uint32_t events, uint64_t key)
{
	struct epoll_event event = {.events = events, .data.u64 = key};

	return result(epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &event));
}

void sys_unwatch(int epoll, int fd) { (void)epoll_ctl(epoll, EPOLL_CTL_DEL, fd, NULL); }

int sys_wait_events(int epoll, struct epoll_event *events, int count)
{
	return result(epoll_wait(epoll, events, count, -1));
}

int sys_timer(void) { return result(timerfd_create(CLOCK_BOOTTIME, TFD_CLOEXEC | TFD_NONBLOCK)); }

int sys_set_timer(int fd, int64_t at_ms)
{
	struct itimerspec when = {
		.it_value = {.tv_sec = (time_t)(at_ms / 1000), .tv_nsec = (long)(at_ms % 1000) * 1000000},
	};

	return result(timerfd_settime(fd, TFD_TIMER_ABSTIME, &when, NULL));
}

void sys_rest(int64_t ms)
{
	const struct timespec rest = {.tv_sec = ms / 1000, .tv_nsec = ms % 1000 * 1000000};

	(void)nanosleep(&rest, NULL);
}

int64_t sys_now(void)
{
	struct timespec now = {0};

	(void)clock_gettime(CLOCK_BOOTTIME, &now);
	return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

int64_t sys_clock(void) { return (int64_t)time(NULL); }

bool sys_hung_up(int fd)
{
	struct pollfd one = {.fd = fd};

	return poll(&one, 1, 0) > 0 && (one.revents & (POLLHUP | POLLERR));
}

int sys_pid(void) { return getpid(); }

int sys_load_module(int fd, bool compressed)
{
	return result(syscall(SYS_finit_module, fd, "", compressed ? MODULE_COMPRESSED : 0));
}

const char *sys_kernel_release(void)
{
	static struct utsname names;

	return uname(&names) < 0 ? "" : names.release;
}

int sys_hostname(const char *name) { return result(sethostname(name, strlen(name))); }

int sys_clock_from_rtc(const char *device)
{
	struct rtc_time read_time = {0};
	struct timespec now = {0};
	struct tm parts;
	int fd = sys_open(device, O_RDONLY, 0);
	int done;

	if (fd < 0)
		return fd;
	/* musl and glibc differ in the type of a request, the kernel does not */
	done = result(syscall(SYS_ioctl, fd, (unsigned long)RTC_RD_TIME, &read_time));
	(void)close(fd);
	if (done < 0)
		return done;
	parts = (struct tm){
		.tm_sec = read_time.tm_sec, .tm_min = read_time.tm_min, .tm_hour = read_time.tm_hour,
		.tm_mday = read_time.tm_mday, .tm_mon = read_time.tm_mon, .tm_year = read_time.tm_year,
	};
	now.tv_sec = timegm(&parts);
	return result(clock_settime(CLOCK_REALTIME, &now));
}

int sys_set_watchdog(int fd, unsigned seconds)
{
	int value = (int)seconds;

	return result(syscall(SYS_ioctl, fd, (unsigned long)WDIOC_SETTIMEOUT, &value));
}

int sys_own_ctrl_alt_del(void) { return result(reboot(RB_DISABLE_CAD)); }

int sys_memory(int64_t *ret_total_kib, int64_t *ret_available_kib)
{
	char buffer[512] = "";
	const char *total, *available;
	int fd = sys_open("/proc/meminfo", O_RDONLY, 0);

	if (fd < 0)
		return fd;
	(void)!read(fd, buffer, sizeof buffer - 1);
	(void)close(fd);
	total = strstr(buffer, "MemTotal:");
	available = strstr(buffer, "MemAvailable:");
	if (!total || !available)
		return -ENODATA;
	*ret_total_kib = strtoll(total + 9, NULL, 10);
	*ret_available_kib = strtoll(available + 13, NULL, 10);
	return 0;
}

int sys_reboot(unsigned command) { return result(reboot((int)command)); }
