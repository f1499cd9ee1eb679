/* What a VMware machine's settings guestinfo.* say: names and encodings are those of cloud-init. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "backdoor.h"
#include "gunzip.h"
#include "provider.h"
#include "rpc.h"

static char *get(const char *name, const char *more, size_t *ret_length)
{
	char command[64];

	snprintf(command, sizeof command, "info-get guestinfo.%s%s", name, more);
	return rpc_ask(command, ret_length);
}

static bool is_one_of(const char *word, const char *one, const char *other)
{
	return strcmp(word, one) == 0 || strcmp(word, other) == 0;
}

/* The value without its encoding, NULL when it has none of these or is not what it says.  Frees the value. */
static char *decode(const char *name, char *value, const char *encoding, size_t *length)
{
	bool zipped = is_one_of(encoding, "gzip+base64", "gz+b64");
	char *plain = value;
	long decoded;

	if (!*encoding || strcmp(encoding, " ") == 0)
		return value;
	decoded = zipped || is_one_of(encoding, "base64", "b64") ? decode_base64(value) : -1;
	*length = decoded < 0 ? 0 : (size_t)decoded;
	if (decoded < 0 || zipped) {
		plain = decoded < 0 ? NULL : gunzip(value, *length, length);
		free(value);
	}
	if (!plain)
		fprintf(stderr, "metadata: guestinfo.%s is left out: not base64 or gzip+base64, or too large\n", name);
	return plain;
}

/* A value as it was meant; NULL when there is none.  To be freed. */
static char *get_decoded(const char *name, size_t *ret_length)
{
	char *value = get(name, "", ret_length);
	size_t size;
	char *encoding = value ? get(name, ".encoding", &size) : NULL;

	if (encoding)
		value = decode(name, value, encoding, ret_length);
	free(encoding);
	/* "---" and blanks stand for nothing, as settings cannot be taken away */
	if (value && (strcmp(value, "---") == 0 || !value[strspn(value, " \n")])) {
		free(value);
		return NULL;
	}
	return value;
}

bool vmware_look(const struct provider *provider, struct found *found)
{
	bool done = false;
	size_t length;
	char *value;

	(void)provider;
	if (!backdoor_is_there())
		return false;
	value = get_decoded("metadata", &length);
	if (value) {
		keep_metadata(value, length, found);
		done = true;
	}
	free(value);
	value = get_decoded("userdata", &length);
	if (value) {
		keep_userdata(found, value, length);
		done = true;
	}
	free(value);
	return done;
}
