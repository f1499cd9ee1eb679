/* Who the probe is: ids, capabilities, namespaces, limits. */
#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>
#include <errno.h>
#include <unistd.h>

#include "probe.h"

static void read_lines(const char *path, const char *const *keys)
{
	FILE *file = fopen(path, "r");
	char line[512];

	while (file && fgets(line, sizeof line, file)) {
		for (const char *const *key = keys; *key; key++) {
			if (strncmp(line, *key, strlen(*key)) == 0)
				printf("%.*s %s", (int)strlen(*key) - 1, line, line + strlen(*key) + 1);
		}
	}
	if (file)
		fclose(file);
}

static void first_line(const char *name, const char *path)
{
	FILE *file = fopen(path, "r");
	char line[256] = "";

	if (!file) {
		say(name, -1);
		return;
	}
	if (fgets(line, sizeof line, file))
		line[strcspn(line, "\n")] = '\0';
	fclose(file);
	say_text(name, line);
}

static void names_in(const char *name, const char *path)
{
	DIR *directory = opendir(path);
	struct dirent *entry;

	printf("%s", name);
	while (directory && (entry = readdir(directory)))
		if (strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0 &&
				(strcmp(path, "/proc/self/fd") != 0 || atoi(entry->d_name) != dirfd(directory)))
			printf(" %s", entry->d_name);
	printf("\n");
	if (directory)
		closedir(directory);
}

void identity(void)
{
	static const char *const keys[] = {"Uid:", "CapInh:", "CapPrm:", "CapEff:", "CapBnd:", "CapAmb:",
		"NoNewPrivs:", "Seccomp:", NULL};
	static const char *const kinds[] = {"cgroup", "ipc", "mnt", "net", "pid", "time", "user", "uts"};

	read_lines("/proc/self/status", keys);
	first_line("uid-map", "/proc/self/uid_map");
	first_line("cgroup", "/proc/self/cgroup");
	first_line("oom-score-adj", "/proc/self/oom_score_adj");
	for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++) {
		char path[64], link[64] = "";

		snprintf(path, sizeof path, "/proc/self/ns/%s", kinds[i]);
		if (readlink(path, link, sizeof link - 1) < 0)
			snprintf(link, sizeof link, "%s", error_name(errno));
		printf("ns-%s %s\n", kinds[i], link);
	}
	for (size_t i = 0; i < 2; i++) {
		struct timespec now;

		clock_gettime(i ? CLOCK_BOOTTIME : CLOCK_MONOTONIC, &now);
		printf("%s-days %ld\n", i ? "boottime" : "monotonic", (long)(now.tv_sec / 86400));
	}
	char host[65] = "";
	gethostname(host, sizeof host);
	say_text("hostname", host);
	names_in("fds", "/proc/self/fd");
	names_in("dev", "/dev");
}

void limit(const char *name, int kind)
{
	struct rlimit found;

	getrlimit(kind, &found);
	printf("%s %lld\n", name, (long long)found.rlim_max);
}
