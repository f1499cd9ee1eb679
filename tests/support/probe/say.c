/* How the probe says what it found. */
#include "probe.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

const char *error_name(int number)
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

void say(const char *name, long result)
{
	printf("%s %s\n", name, result < 0 ? error_name(errno) : "ok");
}

void say_text(const char *name, const char *text)
{
	printf("%s %s\n", name, text);
}

void in_child(const char *name, int (*act)(void))
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
