/*
 * What the units of a test are made of, a small static program.
 *
 *   act run PIDFILE VERB [ARGUMENT...]   as an OCI runtime does: the verb runs on by itself, detached,
 *                                        and its pid is in PIDFILE
 *   act VERB [ARGUMENT...]               say TEXT | exit STATUS | fail TEXT | touch PATH | wait | deaf |
 *                                        polite PATH | orphans N | flood LINES | crash | is PATH
 */
#include <err.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static const char *farewell;

static void touch(const char *path)
{
	int fd = open(path, O_WRONLY | O_CREAT, 0666);

	if (fd < 0)
		err(4, "%s", path);
	close(fd);
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

static int act(int argc, char *argv[])
{
	const char *verb = argc > 0 ? argv[0] : "", *word = argc > 1 ? argv[1] : "";

	if (!strcmp(verb, "say"))
		return puts(word) < 0;
	if (!strcmp(verb, "exit"))
		return atoi(word);
	if (!strcmp(verb, "fail"))
		return puts(word) < 0 ? 1 : 5;
	if (!strcmp(verb, "touch"))
		return touch(word), 0;
	if (!strcmp(verb, "is"))
		return access(word, F_OK) ? 6 : 0;
	if (!strcmp(verb, "wait"))
		for (;;)
			pause();
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
	pid_t pid = fork();
	int fd, length;

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

int main(int argc, char *argv[])
{
	if (argc > 3 && !strcmp(argv[1], "run"))
		return run(argv[2], argc - 3, argv + 3);
	return act(argc - 1, argv + 1);
}
