/* What can be reached by sockets. */
#include <fcntl.h>
#include <netinet/in.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "probe.h"

static void try_bind(const char *name, uint16_t port)
{
	struct sockaddr_in at = {.sin_family = AF_INET, .sin_port = htons(port)};
	int fd = socket(AF_INET, SOCK_STREAM, 0);

	at.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	say(name, bind(fd, (struct sockaddr *)&at, sizeof at));
	close(fd);
}

static void try_connect(const char *name, uint16_t port)
{
	struct sockaddr_in at = {.sin_family = AF_INET, .sin_port = htons(port)};
	int fd = socket(AF_INET, SOCK_STREAM, 0);

	at.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	say(name, connect(fd, (struct sockaddr *)&at, sizeof at));
	close(fd);
}

/* A name without a file: "listen" makes it, others try to reach it. */
int abstract(bool make)
{
	struct sockaddr_un at = {.sun_family = AF_UNIX, .sun_path = "\0linuxkit-probe"};
	socklen_t size = offsetof(struct sockaddr_un, sun_path) + sizeof "\0linuxkit-probe" - 1;
	int fd = socket(AF_UNIX, SOCK_STREAM, 0);

	if (make)
		return bind(fd, (struct sockaddr *)&at, size) < 0 ? -1 : listen(fd, 9);
	return connect(fd, (struct sockaddr *)&at, size);
}

void sockets(void)
{
	static const struct { const char *name; int family, kind; } families[] = {
		{"socket-unix", AF_UNIX, SOCK_STREAM}, {"socket-inet", AF_INET, SOCK_STREAM},
		{"socket-inet6", AF_INET6, SOCK_STREAM}, {"socket-netlink", AF_NETLINK, SOCK_RAW},
		{"socket-packet", AF_PACKET, SOCK_RAW}, {"socket-alg", 38, SOCK_SEQPACKET},
		{"socket-vsock", 40, SOCK_STREAM},
	};

	for (size_t i = 0; i < sizeof families / sizeof *families; i++)
		say(families[i].name, socket(families[i].family, families[i].kind, 0));
	try_bind("bind-8080", 8080);
	try_bind("bind-9090", 9090);
	try_connect("connect-7070", 7070);
	try_connect("connect-6060", 6060);
	say("abstract-connect", abstract(false));

	FILE *file = fopen("/proc/self/net/dev", "r");
	char line[256], *name;
	printf("interfaces");
	for (int i = 0; file && fgets(line, sizeof line, file); i++)
		if (i > 1 && (name = strtok(line, " :")))
			printf(" %s", name);
	printf("\n");
}

/* The options of what is mounted there, and whether its mounts spread. */
static void mounted(const char *name, const char *place)
{
	FILE *file = fopen("/proc/self/mountinfo", "r");
	char line[512], at[256], options[128], spreads[32];

	while (file && fgets(line, sizeof line, file))
		if (sscanf(line, "%*s %*s %*s %*s %255s %127s %31s", at, options, spreads) == 3 &&
		    strcmp(at, place) == 0)
			printf("%s %s %s\n", name, options, spreads);
	if (file)
		fclose(file);
}

/* As sd_notify(3), where somebody listens. */
void tell_ready(void)
{
	const char *path = getenv("NOTIFY_SOCKET");
	struct sockaddr_un to = {.sun_family = AF_UNIX};
	int fd = socket(AF_UNIX, SOCK_DGRAM, 0);

	if (!path || strlen(path) >= sizeof to.sun_path)
		return;
	memcpy(to.sun_path, path, strlen(path));
	say("notify", sendto(fd, "READY=1", 7, 0, (struct sockaddr *)&to, sizeof to));
	say("notify-write", open("/dev/notify/file", O_CREAT | O_WRONLY | O_CLOEXEC, 0600));
	mounted("notify-mount", "/dev/notify");
}
