/* What loads a machine: processes, memory, disks, nonsense. */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "probe.h"

void processes(void)
{
	pid_t made[300];
	int count = 0;

	while (count < 300 && (made[count] = fork()) >= 0) {
		if (made[count] == 0) {
			pause();
			_exit(0);
		}
		count++;
	}
	printf("processes %d\n", count);
	for (int i = 0; i < count; i++)
		kill(made[i], SIGKILL);
	while (waitpid(-1, NULL, 0) > 0)
		;
}

int devour(void)
{
	for (int i = 0; i < 4096; i++) {
		volatile char *block = malloc(1 << 20);

		for (int at = 0; block && at < 1 << 20; at += 4096)
			block[at] = 1;
	}
	return 0;
}

/* Children of children, left behind for whoever reaps here. */
int leave_orphans(int wanted)
{
	for (int i = 0; i < wanted; i++) {
		pid_t child = fork();

		if (child == 0)
			_exit(fork() == 0 ? (usleep(50000), 0) : 0);
		if (child < 0 || waitpid(child, NULL, 0) < 0)
			return 1;
	}
	say_text("orphans", "left");
	return 0;
}

/* One line after the other, each said when the disk has it; and bytes that it need not have. */
int keep_writing(const char *folder)
{
	static char block[65536];
	char path[256];
	int kept, noise;

	snprintf(path, sizeof path, "%s/kept", folder);
	kept = open(path, O_CREAT | O_WRONLY | O_APPEND, 0600);
	snprintf(path, sizeof path, "%s/noise", folder);
	noise = open(path, O_CREAT | O_WRONLY, 0600);
	if (kept < 0 || noise < 0)
		return 1;
	for (int i = 1;; i++) {
		if (dprintf(kept, "%d\n", i) < 0 || fsync(kept) < 0)
			return 1;
		printf("kept %d\n", i);
		for (int n = 0; n < 8; n++)
			if (pwrite(noise, block, sizeof block, (i * 8 + n) % 256 * (off_t)sizeof block) < 0)
				return 1;
		usleep(100000); /* the console of a unit takes some KiB a second */
	}
}

/* What is no request, or half of one, for some seconds; answers are read by nobody. */
int gabble(const char *path, int seconds)
{
	static char noise[65536];
	struct sockaddr_un to = {.sun_family = AF_UNIX};
	struct timeval patience = {.tv_usec = 200000};
	time_t end = time(NULL) + seconds;
	unsigned chance = 11;
	int calls = 0;

	snprintf(to.sun_path, sizeof to.sun_path, "%s", path);
	while (time(NULL) < end) {
		int fd = socket(AF_UNIX, SOCK_STREAM, 0);

		for (size_t i = 0; i < sizeof noise; i++)
			noise[i] = (char)((chance = chance * 1103515245 + 12345) >> 16);
		if (calls % 4 == 0) /* requests without end, and the last of them without its own */
			for (size_t i = 0; i + 7 <= sizeof noise; i += 7)
				memcpy(noise + i, "a list\n", 7);
		setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof patience);
		if (connect(fd, (struct sockaddr *)&to, sizeof to) == 0)
			calls += send(fd, noise, chance % sizeof noise, MSG_NOSIGNAL) > 0;
		else if (errno != EAGAIN) /* too many wait there already */
			return 1;
		close(fd);
	}
	printf("gabbled %d\n", calls);
	return 0;
}
