/*
 * What the units of a test are made of, a small static program.
 *
 *   act run PIDFILE VERB [ARGUMENT...]   as an OCI runtime does: the verb runs on by itself, detached,
 *                                        and its pid is in PIDFILE; behind "alone" in a network of its own
 *   act enter PIDFILE VERB [ARGUMENT...] as it runs something in a container: it waits for the verb
 *   act late PIDFILE VERB [ARGUMENT...]  the same, and so slow that the pid file has not come yet
 *   act VERB [ARGUMENT...]               say TEXT | exit STATUS | fail TEXT | touch PATH | wait | deaf |
 *                                        polite PATH | orphans N | flood LINES | crash | is PATH [NOTE] |
 *                                        note PATH | flaky PATH N | notify SOCKET PATH | listen PORT PATH
 *
 * "is" leaves a byte in NOTE, "notify" and "listen" are ready once PATH is there.
 */
#include <err.h>
#include <fcntl.h>
#include <net/if.h>
#include <sched.h>
#include <netinet/in.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

static const char *farewell;

static void touch(const char *path)
{
	int fd = open(path, O_WRONLY | O_CREAT, 0666);

	if (fd < 0)
		err(4, "%s", path);
	close(fd);
}

/* SIGTERM is held back from the start, so that none comes before there is a handler for it. */
static void hold_back(int how)
{
	sigset_t set;

	sigemptyset(&set);
	sigaddset(&set, SIGTERM);
	sigprocmask(how, &set, NULL);
}

static void say_goodbye(int number)
{
	(void)number;
	touch(farewell);
	_exit(0);
}

static _Noreturn void polite(const char *path)
{
	farewell = path;
	signal(SIGTERM, say_goodbye);
	hold_back(SIG_UNBLOCK);
	for (;;)
		pause();
}

static _Noreturn void deaf(void)
{
	signal(SIGTERM, SIG_IGN);
	puts("deaf");
	fflush(stdout);
	for (;;)
		pause();
}

/* Children of a child that is gone: they are PID 1's now. */
static int orphans(int count)
{
	for (int i = 0; i < count; i += 100) {
		pid_t middle = fork();

		if (middle == 0) {
			for (int j = 0; j < 100; j++)
				if (fork() == 0)
					_exit(0);
			_exit(0);
		}
	}
	return 0;
}

static int flood(long lines)
{
	for (long i = 0; i < lines; i++)
		printf("line %ld of a flood, with some more words to make it longer\n", i);
	return 0;
}

/* One more byte in the file; returns how many there are now. */
static long note(const char *path)
{
	int fd = open(path, O_WRONLY | O_CREAT | O_APPEND, 0666);
	struct stat status;

	if (fd < 0 || write(fd, "x", 1) != 1 || fstat(fd, &status) < 0)
		err(4, "%s", path);
	close(fd);
	return (long)status.st_size;
}

static void wait_for(const char *path)
{
	while (access(path, F_OK))
		usleep(10000);
}

static _Noreturn void wait_for_ever(void)
{
	for (;;)
		pause();
}

static void notify(const char *path, const char *message)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	int fd = socket(AF_UNIX, SOCK_DGRAM, 0);

	snprintf(address.sun_path, sizeof address.sun_path, "%s", path);
	if (sendto(fd, message, strlen(message), 0, (struct sockaddr *)&address, sizeof address) < 0)
		err(4, "%s", path);
	close(fd);
}

static void listen_at(int port)
{
	struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons((unsigned short)port)};
	struct ifreq loopback = {.ifr_name = "lo", .ifr_flags = IFF_UP};
	int fd = socket(AF_INET, SOCK_STREAM, 0);

	if (ioctl(fd, SIOCSIFFLAGS, &loopback) < 0 ||
	    bind(fd, (struct sockaddr *)&address, sizeof address) < 0 || listen(fd, 5) < 0)
		err(4, "port %d", port);
}

static int act(int argc, char *argv[])
{
	const char *verb = argc > 0 ? argv[0] : "", *word = argc > 1 ? argv[1] : "";
	const char *more = argc > 2 ? argv[2] : "";

	if (strcmp(verb, "polite"))
		hold_back(SIG_UNBLOCK);
	if (!strcmp(verb, "say"))
		return puts(word) < 0;
	if (!strcmp(verb, "exit"))
		return atoi(word);
	if (!strcmp(verb, "fail"))
		return puts(word) < 0 ? 1 : 5;
	if (!strcmp(verb, "touch"))
		return touch(word), 0;
	if (!strcmp(verb, "is"))
		return *more && note(more) < 0 ? 4 : access(word, F_OK) ? 6 : 0;
	if (!strcmp(verb, "wait"))
		wait_for_ever();
	if (!strcmp(verb, "note"))
		return note(word), 0;
	if (!strcmp(verb, "flaky") && *more) {
		if (note(word) < atol(more))
			return 1;
		wait_for_ever();
	}
	if (!strcmp(verb, "notify")) {
		notify(word, "STATUS=not READY=1 yet\nREADY=0");
		wait_for(more);
		notify(word, "STATUS=up\nREADY=1\n");
		wait_for_ever();
	}
	if (!strcmp(verb, "listen")) {
		wait_for(more);
		listen_at(atoi(word));
		wait_for_ever();
	}
	if (!strcmp(verb, "deaf"))
		deaf();
	if (!strcmp(verb, "polite"))
		polite(word);
	if (!strcmp(verb, "orphans"))
		return orphans(atoi(word));
	if (!strcmp(verb, "flood"))
		return flood(atol(word));
	if (!strcmp(verb, "crash"))
		return raise(SIGSEGV);
	errx(2, "no verb \"%s\"", verb);
}

static int run(const char *path, int argc, char *argv[])
{
	char line[32];
	bool alone = !strcmp(argv[0], "alone");
	pid_t pid;
	int fd, length;

	hold_back(SIG_BLOCK);
	argc -= alone;
	argv += alone;
	pid = (pid_t)syscall(SYS_clone, SIGCHLD | (alone ? CLONE_NEWNET : 0), NULL, NULL, NULL, NULL);
	if (pid < 0)
		err(3, "fork");
	if (pid == 0) {
		int status = act(argc, argv);

		fflush(stdout);
		_exit(status);
	}
	length = snprintf(line, sizeof line, "%d", (int)pid);
	fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0644);
	if (fd < 0 || write(fd, line, (size_t)length) < 0)
		err(3, "%s", path);
	return 0;
}

/* path: NULL for no pid file */
static int enter(const char *path, int argc, char *argv[])
{
	pid_t pid = fork();
	FILE *file;
	int status = 0;

	if (pid == 0) {
		setsid();
		status = act(argc, argv);
		fflush(stdout);
		_exit(status);
	}
	file = path ? fopen(path, "w") : NULL;
	if (pid < 0 || (path && !file))
		err(3, "%s", path ? path : "fork");
	if (file) {
		fprintf(file, "%d", (int)pid);
		fclose(file);
	}
	waitpid(pid, &status, 0);
	return WIFEXITED(status) ? WEXITSTATUS(status) : 255;
}

int main(int argc, char *argv[])
{
	if (argc > 3 && !strcmp(argv[1], "enter"))
		return enter(argv[2], argc - 3, argv + 3);
	if (argc > 3 && !strcmp(argv[1], "late"))
		return enter(NULL, argc - 3, argv + 3);
	if (argc > 3 && !strcmp(argv[1], "run"))
		return run(argv[2], argc - 3, argv + 3);
	return act(argc - 1, argv + 1);
}
