/*
 * Starts a program as PID 1 of a small world of its own, without root:
 *
 *   nsrun ROOT REPORT PROGRAM [ARGUMENT...]
 *
 * ROOT becomes /, the terminal REPORT its /dev/report, which the kernel command line in there names as
 * the report port.  Exits with 0 when the program ended by itself or by power-off, 75 for a reboot.
 */
#include <err.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

static void put(const char *path, const char *text)
{
	int fd = open(path, O_WRONLY);

	if (fd < 0 || write(fd, text, strlen(text)) < 0)
		err(3, "%s", path);
	close(fd);
}

static void mount_on(const char *root, const char *place, const char *source, const char *type,
		     unsigned long flags)
{
	char target[4096];

	snprintf(target, sizeof target, "%s/%s", root, place);
	if (mount(source, target, type, flags, NULL) < 0)
		err(3, "mounting %s", target);
}

static void build(const char *root, const char *report)
{
	char cmdline[4096];

	mount_on(root, "", root, NULL, MS_BIND | MS_REC);
	mount_on(root, "dev/null", "/dev/null", NULL, MS_BIND);
	mount_on(root, "dev/report", report, NULL, MS_BIND);
	mount_on(root, "proc", "proc", "proc", 0);
	snprintf(cmdline, sizeof cmdline, "%s/cmdline", root);
	mount_on(root, "proc/cmdline", cmdline, NULL, MS_BIND);
	if (chroot(root) < 0 || chdir("/") < 0)
		err(3, "chroot");
}

int main(int argc, char *argv[])
{
	char map[64];
	uid_t uid = getuid();
	gid_t gid = getgid();
	int status = 0;
	pid_t child;

	if (argc < 4)
		errx(3, "nsrun ROOT REPORT PROGRAM [ARGUMENT...]");
	if (unshare(CLONE_NEWUSER | CLONE_NEWNS | CLONE_NEWPID | CLONE_NEWUTS | CLONE_NEWIPC | CLONE_NEWNET) < 0)
		err(77, "no namespaces");
	put("/proc/self/setgroups", "deny");
	snprintf(map, sizeof map, "0 %u 1", uid);
	put("/proc/self/uid_map", map);
	snprintf(map, sizeof map, "0 %u 1", gid);
	put("/proc/self/gid_map", map);
	child = fork();
	if (child < 0)
		err(3, "fork");
	if (child == 0) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		build(argv[1], argv[2]);
		execv(argv[3], argv + 3);
		err(3, "%s", argv[3]);
	}
	if (waitpid(child, &status, 0) < 0)
		err(3, "waiting");
	/* reboot(2) in a PID namespace ends its init with a signal: SIGHUP is a reboot */
	if (WIFSIGNALED(status))
		return WTERMSIG(status) == SIGHUP ? 75 : WTERMSIG(status) == SIGINT ? 0 : 70;
	return WEXITSTATUS(status);
}
