/* Ports of hypervisors, played by sockets in the working folder: own-PORT, and CID-PORT of others. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "../vsudd/vsudd.h"

static int finish(int fd, int done)
{
	int error = errno;

	if (done == 0)
		return fd;
	(void)close(fd);
	return -error;
}

int vsock_listen(uint32_t port)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

	(void)snprintf(address.sun_path, sizeof address.sun_path, "own-%u", port);
	fd = finish(fd, bind(fd, (struct sockaddr *)&address, sizeof address));
	return fd < 0 ? fd : finish(fd, listen(fd, SOMAXCONN));
}

int vsock_accept(int listener, uint32_t *ret_cid)
{
	const char *cid = getenv("FAKE_CID");
	int fd = accept4(listener, NULL, NULL, SOCK_CLOEXEC);

	*ret_cid = cid ? (uint32_t)atoi(cid) : CID_HOST;
	return fd < 0 ? -errno : fd;
}

int vsock_connect(uint32_t cid, uint32_t port)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	(void)snprintf(address.sun_path, sizeof address.sun_path, "%u-%u", cid, port);
	return finish(fd, connect(fd, (struct sockaddr *)&address, sizeof address));
}
