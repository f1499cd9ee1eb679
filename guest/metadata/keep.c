/* What all providers do with what they find. */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "http.h"
#include "provider.h"
#include "store.h"

char *file_read(int folder, const char *path, size_t *length)
{
	int fd = openat(folder, path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
	char *data = fd < 0 ? NULL : malloc(MAX_BODY + 1);
	size_t got = 0;
	ssize_t more = 0;

	if (data) {
		while (got < MAX_BODY && (more = read(fd, data + got, MAX_BODY - got)) > 0)
			got += (size_t)more;
		if (more < 0 || got == MAX_BODY) {
			free(data);
			data = NULL;
		} else {
			data[got] = '\0';
			*length = got;
		}
	}
	if (fd >= 0)
		close(fd);
	return data;
}

void keep_hostname(struct found *found, const char *name)
{
	size_t length = name ? strcspn(name, " \t\r\n") : 0;

	if (!length || length >= sizeof found->hostname)
		return;
	for (size_t i = 0; i < length; i++) {
		char c = name[i];
		bool word = (c >= '0' && c <= '9') || ((c | 32) >= 'a' && (c | 32) <= 'z');

		if (!word && c != '.' && c != '-' && c != '_')
			return;
	}
	memcpy(found->hostname, name, length);
	found->hostname[length] = '\0';
}

void keep_userdata(struct found *found, const char *data, size_t length)
{
	if (found->userdata || !length)
		return;
	found->userdata = malloc(length + 1);
	if (!found->userdata)
		return;
	memcpy(found->userdata, data, length);
	found->userdata[length] = '\0';
	found->userdata_length = length;
}

void keep_keys(const char *text)
{
	while (text && *text) {
		size_t length = strcspn(text, "\n");

		store_add_line("ssh/authorized_keys", text, length);
		text += length + (text[length] == '\n');
	}
}
