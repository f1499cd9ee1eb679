/*
 * Every system call PID 1 makes.  Results are >= 0, or a negative errno.  Tests link other
 * bodies for these names; nothing else in guest/init may call the system.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/epoll.h>
#include <sys/types.h>

/* files; every descriptor is close-on-exec */
int sys_open(const char *path, int flags, unsigned mode);
void sys_close(int fd);
ssize_t sys_read(int fd, void *buffer, size_t size);
ssize_t sys_write(int fd, const void *buffer, size_t size);
ssize_t sys_list(int fd, void *buffer, size_t size); /* getdents64(2) */
int sys_mkdir(const char *path, unsigned mode);
int sys_chmod(const char *path, unsigned mode);
int sys_symlink(const char *target, const char *path);
int sys_rename(const char *from, const char *to);
int sys_remove(const char *path);
bool sys_exists(const char *path);
ssize_t sys_readlink(const char *path, char *buffer, size_t size);
int64_t sys_file_size(int fd);
int sys_chdir(const char *path);
int sys_chroot(const char *path);
int sys_duplicate(int from, int to);
void sys_fill_standard(void); /* descriptors 0 to 2 are never free for something else */
int sys_raw_terminal(int fd); /* 0 also for what is no terminal */

/* memory: zeroed pages, or a read-only view of a file; NULL when there is none */
void *sys_allocate(size_t size);
const void *sys_map(int fd, size_t size);

/* file systems */
int sys_mount(const char *source, const char *target, const char *type, unsigned long flags,
	      const char *data);
int sys_umount(const char *target, int flags);
int sys_is_memory_fs(const char *path); /* 1: ramfs or tmpfs */
void sys_sync(void);

/* processes */
int sys_fork(void);
_Noreturn void sys_exit(int status);
int sys_exec(char *const argv[], char *const environment[]);
int sys_kill(int pid, int signal);
/* The pid of a child that ended and how; 0 when none has, -ECHILD when there is no child. */
int sys_reap(int *ret_status, int *ret_signal);
void sys_new_session(void);
void sys_umask(unsigned mask);
void sys_default_signals(void);
void sys_raise_limits(void);

/* waiting */
int sys_pipe(int ret_ends[2]);       /* the reading end does not block */
int sys_block_signals(void);         /* a signalfd for all of them */
int sys_next_signal(int fd);         /* its number, 0 when there is none */
int sys_epoll(void);
int sys_watch(int epoll, int fd, uint32_t events, uint64_t key);
void sys_unwatch(int epoll, int fd);
int sys_wait_events(int epoll, struct epoll_event *events, int count);
int sys_timer(void);
int sys_set_timer(int fd, int64_t at_ms); /* on the clock of sys_now; 0 turns it off */
void sys_rest(int64_t ms);                /* in a child only */
int64_t sys_now(void);                    /* ms since the kernel started */
int64_t sys_clock(void);                  /* seconds since 1970 */
bool sys_hung_up(int fd);                 /* POLLHUP is set now */

/* the machine */
int sys_pid(void);
int sys_load_module(int fd, bool compressed);
const char *sys_kernel_release(void);
int sys_hostname(const char *name);
int sys_loopback_up(void);
int sys_clock_from_rtc(const char *device);
int sys_uevents(void);
int sys_join_namespace(const char *path);
int sys_ask_routes(const void *request, size_t size); /* rtnetlink(7); what the kernel says to it */
int sys_connect_here(unsigned port); /* TCP, to this machine; waits for the answer */
int sys_set_watchdog(int fd, unsigned seconds);
/* A socket in the file system; datagrams for anybody, or a stream for root's programs. */
int sys_listen(const char *path, bool datagrams);
int sys_accept(int fd);
int sys_own_ctrl_alt_del(void);
int sys_memory(int64_t *ret_total_kib, int64_t *ret_available_kib);
int sys_reboot(unsigned command);
