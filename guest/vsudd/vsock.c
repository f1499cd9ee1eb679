/* The sockets of hypervisors. */
#include <errno.h>
#include <linux/vm_sockets.h>
#include <sys/socket.h>
#include <unistd.h>

#include "vsudd.h"

static int open_socket(int flags)
{
	int fd = socket(AF_VSOCK, SOCK_STREAM | SOCK_CLOEXEC | flags, 0);

	return fd < 0 ? -errno : fd;
}

static int or_close(int fd, int done)
{
	int error = -errno;

	if (done == 0)
		return fd;
	(void)close(fd);
	return error;
}

int vsock_listen(uint32_t port)
{
	const struct sockaddr_vm own = {.svm_family = AF_VSOCK, .svm_cid = VMADDR_CID_ANY, .svm_port = port};
	int fd = open_socket(SOCK_NONBLOCK);

	if (fd < 0)
		return fd;
	fd = or_close(fd, bind(fd, (const struct sockaddr *)&own, sizeof own));
	return fd < 0 ? fd : or_close(fd, listen(fd, SOMAXCONN));
}

int vsock_accept(int listener, uint32_t *ret_cid)
{
	struct sockaddr_vm peer;
	socklen_t size = sizeof peer;
	int fd = accept4(listener, (struct sockaddr *)&peer, &size, SOCK_CLOEXEC);

	if (fd < 0)
		return -errno;
	*ret_cid = peer.svm_cid;
	return fd;
}

int vsock_connect(uint32_t cid, uint32_t port)
{
	const struct sockaddr_vm peer = {.svm_family = AF_VSOCK, .svm_cid = cid, .svm_port = port};
	int fd = open_socket(0);

	return fd < 0 ? fd : or_close(fd, connect(fd, (const struct sockaddr *)&peer, sizeof peer));
}
