/* An HTTP/1.1 client (RFC 9112) for one request and one bounded answer. */
#include "http.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netdb.h>
#include <netinet/in.h>
#include <poll.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define CONNECT_MS 2000
#define PORT 80

static char raw[MAX_BODY + 65536]; /* an answer as it came: head, body, and what chunks add */

static int64_t now_ms(void)
{
	struct timespec time;

	clock_gettime(CLOCK_MONOTONIC, &time);
	return (int64_t)time.tv_sec * 1000 + time.tv_nsec / 1000000;
}

static bool wait_for(int fd, short events, int64_t end)
{
	struct pollfd poller = {.fd = fd, .events = events};
	int64_t left = end - now_ms();

	return left > 0 && poll(&poller, 1, (int)left) == 1;
}

/* Servers of some clouds answer only to ports that need a privilege. */
static bool take_low_port(int fd)
{
	struct sockaddr_in own = {.sin_family = AF_INET};

	for (unsigned port = 1023; port >= 512; port--) {
		own.sin_port = htons((uint16_t)port);
		if (bind(fd, (struct sockaddr *)&own, sizeof own) == 0)
			return true;
	}
	return false;
}

/* A name is looked up by the system's resolver, which gives up after ten seconds. */
static bool find_address(const char *address, struct in_addr *ret)
{
	const struct addrinfo wanted = {.ai_family = AF_INET, .ai_socktype = SOCK_STREAM};
	struct addrinfo *found;
	struct sockaddr_in first;

	if (inet_pton(AF_INET, address, ret) == 1)
		return true;
	if (getaddrinfo(address, NULL, &wanted, &found) != 0)
		return false;
	memcpy(&first, found->ai_addr, sizeof first);
	freeaddrinfo(found);
	*ret = first.sin_addr;
	return true;
}

static int open_link(const char *address, bool privileged, int64_t end)
{
	struct sockaddr_in server = {.sin_family = AF_INET, .sin_port = htons(PORT)};
	socklen_t size = sizeof(int);
	int error = 0;
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

	if (fd < 0)
		return -1;
	if (find_address(address, &server.sin_addr) && (!privileged || take_low_port(fd))) {
		if (connect(fd, (struct sockaddr *)&server, sizeof server) == 0)
			return fd;
		if (errno == EINPROGRESS && wait_for(fd, POLLOUT, end) &&
		    getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &size) == 0 && error == 0)
			return fd;
	}
	close(fd);
	return -1;
}

bool http_is_there(const char *address)
{
	int fd = open_link(address, false, now_ms() + CONNECT_MS);

	if (fd < 0)
		return false;
	close(fd);
	return true;
}

static bool send_all(int fd, const char *data, size_t length, int64_t end)
{
	while (length) {
		ssize_t sent = send(fd, data, length, MSG_NOSIGNAL);

		if (sent < 0 && errno == EAGAIN && wait_for(fd, POLLOUT, end))
			continue;
		if (sent <= 0)
			return false;
		data += sent;
		length -= (size_t)sent;
	}
	return true;
}

/* Everything until the server closes, or -1: too late, too much, or an error. */
static ssize_t receive_all(int fd, int64_t end)
{
	size_t got = 0;

	while (wait_for(fd, POLLIN, end)) {
		ssize_t more = recv(fd, raw + got, sizeof raw - 1 - got, 0);

		if (more == 0)
			return (ssize_t)got;
		if (more < 0)
			return -1;
		got += (size_t)more;
		if (got == sizeof raw - 1)
			return -1;
	}
	return -1;
}

const char *http_field(const struct answer *answer, const char *name)
{
	size_t length = strlen(name);

	for (const char *line = answer->head; *line; line += strlen(line) + 1) {
		const char *value = line + length + 1;

		if (strncasecmp(line, name, length) != 0 || line[length] != ':')
			continue;
		return value + strspn(value, " \t");
	}
	return NULL;
}

/* Keeps the fields of a head of that length, ended by an empty line; false when they are none. */
static bool keep_head(struct answer *answer, const char *head, size_t length)
{
	char *out = answer->head;

	if (length >= sizeof answer->head - 2 || memchr(head, '\0', length))
		return false;
	for (const char *end; length; length -= (size_t)(end + 2 - head), head = end + 2) {
		end = memmem(head, length, "\r\n", 2);
		if (!end)
			return false;
		if (end == head)
			break;
		memcpy(out, head, (size_t)(end - head));
		out += end - head;
		*out++ = '\0';
	}
	*out = '\0';
	return true;
}

/* Joins chunks (RFC 9112 section 7.1) into the body. */
static bool join_chunks(struct answer *answer, const char *data, size_t length)
{
	for (;;) {
		const char *line = memmem(data, length, "\r\n", 2);
		unsigned long size;
		char *end;

		if (!line || line - data > 64)
			return false;
		size = strtoul(data, &end, 16);
		if (end == data || (*end != '\r' && *end != ';') || *data == '-' || *data == '+')
			return false;
		length -= (size_t)(line + 2 - data);
		data = line + 2;
		if (!size)
			return true;
		if (size > MAX_BODY - answer->length || size + 2 > length ||
		    memcmp(data + size, "\r\n", 2) != 0)
			return false;
		memcpy(answer->body + answer->length, data, size);
		answer->length += size;
		data += size + 2;
		length -= size + 2;
	}
}

static bool keep_body(struct answer *answer, const char *data, size_t length)
{
	const char *coding = http_field(answer, "Transfer-Encoding");
	const char *said = http_field(answer, "Content-Length");

	answer->length = 0;
	if (coding) {
		if (strcasecmp(coding, "chunked") != 0 || !join_chunks(answer, data, length))
			return false;
	} else {
		if (length > MAX_BODY || (said && strtoul(said, NULL, 10) != length))
			return false;
		memcpy(answer->body, data, length);
		answer->length = length;
	}
	answer->body[answer->length] = '\0';
	return true;
}

static void understand(struct answer *answer, size_t length)
{
	static const char version[] = "HTTP/1.";
	const char *end = memmem(raw, length, "\r\n\r\n", 4);
	const char *fields = memmem(raw, length, "\r\n", 2);
	int status;

	if (!end || length < 12 || memcmp(raw, version, sizeof version - 1) != 0 || raw[8] != ' ')
		return;
	status = 0;
	for (int i = 9; i < 12; i++) {
		if (raw[i] < '0' || raw[i] > '9')
			return;
		status = status * 10 + raw[i] - '0';
	}
	fields += 2;
	if (!keep_head(answer, fields, (size_t)(end + 4 - fields)) ||
	    !keep_body(answer, end + 4, length - (size_t)(end + 4 - raw)))
		return;
	answer->status = status;
}

bool http_ask(const char *address, const char *method, const char *path, const char *fields,
	      bool privileged, struct answer *answer)
{
	int64_t end = now_ms() + HTTP_MS;
	char request[4096];
	ssize_t got = -1;
	int fd = open_link(address, privileged, now_ms() + CONNECT_MS);
	int length = snprintf(request, sizeof request,
			      "%s %s HTTP/1.1\r\nHost: %s\r\nConnection: close\r\nContent-Length: 0\r\n%s\r\n",
			      method, path, address, fields);

	answer->status = 0;
	answer->length = 0;
	answer->body[0] = answer->head[0] = answer->head[1] = '\0';
	if (fd < 0)
		return false;
	if (length > 0 && (size_t)length < sizeof request &&
	    send_all(fd, request, (size_t)length, end))
		got = receive_all(fd, end);
	close(fd);
	if (got >= 0)
		raw[got] = '\0'; /* so that numbers in it end somewhere */
	if (got > 0)
		understand(answer, (size_t)got);
	return answer->status == 200;
}
