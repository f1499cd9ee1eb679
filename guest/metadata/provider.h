#pragma once
/* Where machines are told what they are. */
#include <stdbool.h>
#include <stddef.h>

/* What every provider may find besides what it writes by itself. */
struct found {
	char hostname[65];
	char *userdata; /* NULL: none */
	size_t userdata_length;
};

struct provider {
	const char *name;
	const char *address; /* of its server, or a name; NULL: it has none */
	bool only_named;     /* not asked unless somebody wants this one */
	bool (*look)(const struct provider *provider, struct found *found);
};

extern const struct provider cloud_providers[];
extern const size_t cloud_provider_count;

bool disc_look(const struct provider *provider, struct found *found);
bool firmware_look(const struct provider *provider, struct found *found);
bool vmware_look(const struct provider *provider, struct found *found);

/* Reads a file of at most 1 MiB; NULL when it cannot.  To be freed. */
char *file_read(int folder, const char *path, size_t *length);

/* Keeps the first line of a text as the machine's name, when it can be one. */
void keep_hostname(struct found *found, const char *name);

/* Keeps a copy of the user data. */
void keep_userdata(struct found *found, const char *data, size_t length);

/* Adds every line of a text to the keys that may log in. */
void keep_keys(const char *text);

/* Keeps the name, the number and the keys that a text has which is JSON, or YAML of one key a line.
 * The text is changed. */
void keep_metadata(char *text, size_t length, struct found *found);

/* Decodes base64 (RFC 4648), which may have line ends in it, in place; -1 when it is none. */
long decode_base64(char *text);
