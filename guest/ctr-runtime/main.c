/*
 * ctr-runtime: the command line of an OCI runtime, over containerd.
 *
 *   ctr-runtime --runtime RUNC [--namespace NAME] run --detach --pid-file FILE --bundle DIR ID
 *   ctr-runtime --runtime RUNC [--namespace NAME] exec --pid-file FILE ID COMMAND [ARGUMENT...]
 *   ctr-runtime --runtime RUNC [--namespace NAME] delete --force ID
 *   ctr-runtime --runtime RUNC daemon STDOUT STDERR PROGRAM [ARGUMENT...]
 *
 * Containers are tasks of containerd in a namespace of its own, by default services.linuxkit.  After `run` a ctr stays
 * that passes on the task's output and ends with its status; the pid file holds its pid and, behind
 * a space, that of the task, which is a child of containerd's shim.  DIR/config.json must name its
 * root by an absolute path, for containerd works on a copy.
 *
 * `daemon` starts containerd itself, so that the "runc" its shims look for is RUNC.  Naming it to `ctr
 * run` is not enough: where a container has ids of its own, ctr forgets it.  The output goes to
 * "stdout", "stderr", or a file that is appended to.
 */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#ifndef CTR /* tests have them elsewhere */
#define CTR "/usr/bin/ctr"
#define SOCKET "/run/containerd/containerd.sock"
#define PIDS "/run/ctr-runtime"
#endif
#define PROGRAMS PIDS "/.bin" /* no container has a name that begins so */
#define STATE "/run/containerd/runc/" /* and the namespace: where the shim keeps what the runtime says */
#define START_MS 60000 /* for containerd to answer when a container starts */
#define DELETE_MS 3000 /* at the end of the machine it may be gone; else PID 1 deletes again later */
#define DIAL "--connect-timeout=3s"
#define STEP_MS 50
#define SAID_MAX 4096
#define MAX_WORDS 160 /* the boot table has 64 fields, twice in a command */

static char *namespace = (char[]){"services.linuxkit"};

static _Noreturn __attribute__((format(printf, 1, 2))) void give_up(const char *format, ...)
{
	va_list more;

	fputs("ctr-runtime: ", stderr);
	va_start(more, format);
	vfprintf(stderr, format, more);
	va_end(more);
	fputc('\n', stderr);
	exit(1);
}

static void rest(void)
{
	const struct timespec step = {.tv_nsec = STEP_MS * 1000000L};

	(void)nanosleep(&step, NULL);
}

static bool is_listening(void)
{
	const struct sockaddr_un address = {.sun_family = AF_UNIX, .sun_path = SOCKET};
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	bool listening = fd >= 0 && connect(fd, (const struct sockaddr *)&address, sizeof address) == 0;

	if (fd >= 0)
		(void)close(fd);
	return listening;
}

/* containerd starts as we do, and may be on its way back. */
static void wait_for_containerd(int ms)
{
	for (int waited = 0; !is_listening(); waited += STEP_MS) {
		if (waited >= ms)
			give_up("containerd does not answer at " SOCKET);
		rest();
	}
}

/* Runs ctr to its end; what it complains of lands in said.  Returns whether it went well. */
static bool ask(char *said, const char *const words[])
{
	int ends[2], status = 0;
	size_t used = 0;
	pid_t pid;

	if (pipe2(ends, O_CLOEXEC) < 0)
		give_up("no pipe: %s", strerror(errno));
	pid = fork();
	if (pid < 0)
		give_up("no process: %s", strerror(errno));
	if (pid == 0) {
		(void)dup2(ends[1], 2);
		execv(CTR, (char *const *)(uintptr_t)words);
		_exit(127);
	}
	(void)close(ends[1]);
	for (;;) {
		char piece[512];
		ssize_t got = read(ends[0], piece, sizeof piece);

		if (got < 0 && errno == EINTR)
			continue;
		if (got <= 0)
			break;
		if ((size_t)got > SAID_MAX - 1 - used) /* the rest is of no use to anybody */
			got = (ssize_t)(SAID_MAX - 1 - used);
		memcpy(said + used, piece, (size_t)got);
		used += (size_t)got;
	}
	said[used] = '\0';
	(void)close(ends[0]);
	while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
		;
	return WIFEXITED(status) && WEXITSTATUS(status) == 0;
}

/* What was never there is as good as gone. */
static void must_be_gone(const char *const words[])
{
	char said[SAID_MAX];

	if (!ask(said, words) && !strstr(said, "not found"))
		give_up("%s %s %s: %s", words[0], words[4], words[5], said);
}

static int delete(const char *id)
{
	const char *const task[] = {CTR, DIAL, "-n", namespace, "tasks", "delete", "--force", id, NULL};
	const char *const kept[] = {CTR, DIAL, "-n", namespace, "containers", "delete", id, NULL};

	wait_for_containerd(DELETE_MS);
	must_be_gone(task);
	must_be_gone(kept);
	return 0;
}

/* Whether containerd knows a container of this name: of a time before, on a disk. */
static bool is_known(const char *id)
{
	const char *const words[] = {CTR, "-n", namespace, "containers", "info", id, NULL};
	char said[SAID_MAX];
	int kept = dup(1), null = open("/dev/null", O_WRONLY | O_CLOEXEC);
	bool known;

	(void)dup2(null, 1); /* it prints all it knows */
	known = ask(said, words);
	(void)dup2(kept, 1);
	(void)close(kept);
	(void)close(null);
	return known;
}

static void write_pids(const char *path, pid_t ctr, const char *task)
{
	char line[64];
	int length = snprintf(line, sizeof line, "%d %s", (int)ctr, task);
	int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);

	if (fd < 0 || write(fd, line, (size_t)length) != length)
		give_up("cannot write %s: %s", path, strerror(errno));
	(void)close(fd);
}

/* The task's pid, which ctr writes as soon as there is one; false when ctr has ended without. */
static bool read_task(pid_t ctr, const char *path, char pid[static 16])
{
	for (bool over = false;; rest()) {
		siginfo_t end = {0};
		int fd = open(path, O_RDONLY | O_CLOEXEC);
		ssize_t got = fd < 0 ? 0 : read(fd, pid, 15);

		if (fd >= 0)
			(void)close(fd);
		if (got > 0) {
			pid[got] = '\0';
			pid[strspn(pid, "0123456789")] = '\0';
			return true;
		}
		if (over)
			return false;
		/* it stays a zombie, for PID 1 to see its status */
		(void)waitid(P_PID, (id_t)ctr, &end, WEXITED | WNOHANG | WNOWAIT);
		over = end.si_pid == ctr;
	}
}

static int run(const char *pidfile, const char *bundle, const char *id)
{
	char config[512], ours[512], task[16];
	int status = 1;
	pid_t ctr;

	if (snprintf(config, sizeof config, "%s/config.json", bundle) >= (int)sizeof config ||
	    snprintf(ours, sizeof ours, PIDS "/%s", id) >= (int)sizeof ours)
		give_up("\"%s\" is too long", id);
	if (mkdir(PIDS, 0700) < 0 && errno != EEXIST)
		give_up("cannot make " PIDS ": %s", strerror(errno));
	wait_for_containerd(START_MS);
	if (unlink(ours) < 0 && is_known(id)) /* else PID 1 has deleted it since */
		(void)delete(id);
	ctr = fork();
	if (ctr < 0)
		give_up("no process: %s", strerror(errno));
	if (ctr == 0) {
		(void)setsid();
		execl(CTR, CTR, "-n", namespace, "run", "--pid-file", ours, "--config", config, id,
		      (char *)NULL);
		give_up("cannot start " CTR ": %s", strerror(errno));
	}
	if (read_task(ctr, ours, task)) {
		write_pids(pidfile, ctr, task);
		return 0;
	}
	(void)waitpid(ctr, &status, 0);
	return WIFEXITED(status) && WEXITSTATUS(status) ? WEXITSTATUS(status) : 1;
}

/* The runtime knows the container as well as containerd does, and its command has a pid file. */
static int execute(char *runtime, int count, char *words[])
{
	static char state[256], root[] = "--root", verb[] = "exec";
	static char cgroups[] = "--cgroup-manager=cgroupfs"; /* crun would ask systemd */
	const char *name = strrchr(runtime, '/');
	char *argv[MAX_WORDS + 6];
	int used = 0;

	if (count > MAX_WORDS || snprintf(state, sizeof state, STATE "%s", namespace) >= (int)sizeof state)
		give_up("the command is too long");
	argv[used++] = runtime;
	if (name && strcmp(name, "/crun") == 0)
		argv[used++] = cgroups;
	argv[used++] = root;
	argv[used++] = state;
	argv[used++] = verb;
	memcpy(argv + used, words, (size_t)count * sizeof *words);
	argv[used + count] = NULL;
	execv(runtime, argv);
	give_up("cannot start %s: %s", runtime, strerror(errno));
}

static int opened(const char *place)
{
	int fd = !strcmp(place, "stdout") ? dup(1) : !strcmp(place, "stderr") ? dup(2)
		 : open(place, O_WRONLY | O_APPEND | O_CREAT, 0644);

	if (fd < 0)
		give_up("cannot open %s: %s", place, strerror(errno));
	return fd;
}

static void offer_runtime(const char *runtime)
{
	const char *usual = getenv("PATH");
	char path[1024];

	if (snprintf(path, sizeof path, "%s:%s", PROGRAMS, usual ? usual : "/usr/bin") >= (int)sizeof path)
		give_up("PATH is too long");
	if ((mkdir(PIDS, 0700) < 0 && errno != EEXIST) || (mkdir(PROGRAMS, 0700) < 0 && errno != EEXIST) ||
	    (unlink(PROGRAMS "/runc") < 0 && errno != ENOENT) || symlink(runtime, PROGRAMS "/runc") < 0 ||
	    setenv("PATH", path, 1) < 0)
		give_up("cannot make " PROGRAMS "/runc: %s", strerror(errno));
}

static _Noreturn void become_daemon(const char *runtime, const char *out, const char *error, char *argv[])
{
	int ends[] = {opened(out), opened(error)};

	offer_runtime(runtime);
	for (int i = 0; i < 2; i++) {
		(void)dup2(ends[i], i + 1);
		(void)close(ends[i]);
	}
	execv(argv[0], argv);
	give_up("cannot start %s: %s", argv[0], strerror(errno));
}

/* What an OCI runtime is asked for; -1 when it is nothing we know. */
static int serve(int argc, char *argv[])
{
	char *runtime = argv[1];
	const char *verb;

	if (argc > 4 && strcmp(argv[2], "--namespace") == 0) {
		namespace = argv[3];
		argv += 2;
		argc -= 2;
	}
	verb = argc > 2 ? argv[2] : "";
	if (argc == 9 && strcmp(verb, "run") == 0 && strcmp(argv[3], "--detach") == 0 &&
	    strcmp(argv[4], "--pid-file") == 0 && strcmp(argv[6], "--bundle") == 0)
		return run(argv[5], argv[7], argv[8]);
	if (argc > 6 && strcmp(verb, "exec") == 0)
		return execute(runtime, argc - 3, argv + 3);
	if (argc > 5 && strcmp(verb, "daemon") == 0)
		become_daemon(runtime, argv[3], argv[4], argv + 5);
	if (argc == 5 && strcmp(verb, "delete") == 0 && strcmp(argv[3], "--force") == 0)
		return delete(argv[4]);
	return -1;
}

int main(int argc, char *argv[])
{
	int done = -1;

	if (argc > 3 && strcmp(argv[1], "--runtime") == 0)
		done = serve(argc - 1, argv + 1);
	if (done >= 0)
		return done;
	fputs("usage: ctr-runtime --runtime RUNC [--namespace NAME] run --detach --pid-file FILE --bundle DIR ID\n"
	      "       ctr-runtime --runtime RUNC [--namespace NAME] exec --pid-file FILE ID COMMAND [ARGUMENT...]\n"
	      "       ctr-runtime --runtime RUNC [--namespace NAME] delete --force ID\n"
	      "       ctr-runtime --runtime RUNC daemon STDOUT STDERR PROGRAM [ARGUMENT...]\n", stderr);
	return 2;
}
