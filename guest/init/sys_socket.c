/* The real bodies of sys.h that have to do with sockets and namespaces. */
#include "sys.h"
#include "sys_result.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/netlink.h>
#include <net/if.h>
#include <netinet/in.h>
#include <sched.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

int sys_loopback_up(void)
{
	struct ifreq request = {.ifr_name = "lo"};
	int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	int done;

	if (fd < 0)
		return -errno;
	done = result(ioctl(fd, SIOCGIFFLAGS, &request));
	if (done >= 0 && !(request.ifr_flags & IFF_UP)) {
		request.ifr_flags |= IFF_UP;
		done = result(ioctl(fd, SIOCSIFFLAGS, &request));
	}
	(void)close(fd);
	return done;
}

int sys_uevents(void)
{
	struct sockaddr_nl address = {.nl_family = AF_NETLINK, .nl_groups = 1};
	int fd = socket(AF_NETLINK, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, NETLINK_KOBJECT_UEVENT);

	if (fd < 0)
		return -errno;
	if (bind(fd, (struct sockaddr *)&address, sizeof address) < 0) {
		int error = -errno;

		(void)close(fd);
		return error;
	}
	return fd;
}

int sys_join_namespace(const char *path)
{
	int fd = sys_open(path, O_RDONLY, 0);
	int done = fd < 0 ? fd : result(setns(fd, 0));

	sys_close(fd);
	return done;
}

int sys_ask_routes(const void *request, size_t size)
{
	const struct sockaddr_nl kernel = {.nl_family = AF_NETLINK};
	_Alignas(struct nlmsghdr) char answer[1024]; /* cut off behind the head, which is all we read */
	const struct nlmsghdr *head = (const struct nlmsghdr *)answer;
	int fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_ROUTE);
	ssize_t done;

	if (fd < 0)
		return -errno;
	done = sendto(fd, request, size, 0, (const struct sockaddr *)&kernel, sizeof kernel);
	do { /* what was asked for may come before the word on it */
		if (done >= 0)
			done = recv(fd, answer, sizeof answer, 0);
		if (done < 0)
			done = -errno;
		else if (done < (ssize_t)NLMSG_LENGTH(sizeof(struct nlmsgerr)))
			done = -EPROTO;
	} while (done >= 0 && head->nlmsg_type != NLMSG_ERROR);
	(void)close(fd);
	return done < 0 ? (int)done : ((const struct nlmsgerr *)NLMSG_DATA(head))->error;
}

static int connect_to(const struct sockaddr *address, socklen_t size)
{
	int fd = socket(address->sa_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
	int done = fd < 0 ? -errno : result(connect(fd, address, size));

	sys_close(fd);
	return done;
}

int sys_connect_here(unsigned port)
{
	const struct sockaddr_in here = {
		.sin_family = AF_INET, .sin_port = htons((uint16_t)port),
		.sin_addr.s_addr = htonl(INADDR_LOOPBACK),
	};
	const struct sockaddr_in6 here6 = {
		.sin6_family = AF_INET6, .sin6_port = htons((uint16_t)port),
		.sin6_addr = IN6ADDR_LOOPBACK_INIT,
	};
	int done = connect_to((const struct sockaddr *)&here, sizeof here);

	return done < 0 ? connect_to((const struct sockaddr *)&here6, sizeof here6) : done;
}

int sys_listen(const char *path, bool datagrams)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	int kind = datagrams ? SOCK_DGRAM : SOCK_STREAM;
	int fd, done;

	if (strlen(path) >= sizeof address.sun_path)
		return -ENAMETOOLONG;
	memcpy(address.sun_path, path, strlen(path) + 1);
	fd = socket(AF_UNIX, kind | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd < 0)
		return -errno;
	(void)unlink(path);
	done = result(bind(fd, (struct sockaddr *)&address, sizeof address));
	if (done >= 0)
		done = result(chmod(path, datagrams ? 0666 : 0600));
	if (done >= 0 && !datagrams)
		done = result(listen(fd, 16));
	if (done < 0) {
		(void)close(fd);
		return done;
	}
	return fd;
}

int sys_accept(int fd) { return result(accept4(fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK)); }
