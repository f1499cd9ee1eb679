/* What all providers do with what they find. */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "http.h"
#include "json.h"
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

/* "local-hostname: NAME" of NoCloud's meta-data, which is YAML; most write one key a line. */
static void keep_lines(char *text, struct found *found)
{
	for (char *line = strtok(text, "\r\n"); line; line = strtok(NULL, "\r\n")) {
		size_t length = strcspn(line, ":");
		char *value = line + length + (line[length] == ':');

		value += strspn(value, " \t\"'");
		value[strcspn(value, " \t\"'#")] = '\0';
		line[length] = '\0';
		if (strcmp(line, "local-hostname") == 0)
			keep_hostname(found, value);
		if (strcmp(line, "instance-id") == 0)
			store_text("instance_id", value);
	}
}

void keep_metadata(char *text, size_t length, struct found *found)
{
	char *copy = strdup(text);
	const struct json *said = json_read(text, length), *keys;

	if (said) {
		store_text("instance_id", json_text(said, "instance-id"));
		store_text("instance_id", json_text(said, "uuid"));
		keep_hostname(found, json_text(said, "hostname"));
		keep_hostname(found, json_text(said, "local-hostname"));
		keys = json_get(said, "public_keys");
		keys = keys ? keys : json_get(said, "public-keys");
		for (const struct json *key = keys ? keys->first : NULL; key; key = key->next)
			keep_keys(key->kind == JSON_TEXT ? key->text : NULL);
	} else if (copy) {
		keep_lines(copy, found);
	}
	free(copy);
}

long decode_base64(char *text)
{
	static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
	unsigned long bits = 0;
	int count = 0;
	char *out = text;

	for (const char *s = text; *s && *s != '='; s++) {
		const char *digit = strchr(digits, *s);

		if (*s == '\r' || *s == '\n')
			continue;
		if (!digit)
			return -1;
		bits = (bits << 6 | (unsigned long)(digit - digits)) & 0xffffff;
		count += 6;
		if (count >= 8) {
			count -= 8;
			*out++ = (char)(bits >> count & 0xff);
		}
	}
	*out = '\0';
	return out - text;
}
