/* What a VMware machine's settings guestinfo.* say: names and encodings are those of cloud-init. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "backdoor.h"
#include "provider.h"
#include "rpc.h"

static char *get(const char *name, const char *more, size_t *ret_length)
{
	char command[64];

	snprintf(command, sizeof command, "info-get guestinfo.%s%s", name, more);
	return rpc_ask(command, ret_length);
}

/* A value as it was meant; NULL when there is none.  To be freed. */
static char *get_decoded(const char *name, size_t *ret_length)
{
	char *value = get(name, "", ret_length);
	size_t size;
	char *encoding = value ? get(name, ".encoding", &size) : NULL;
	long decoded = 0;

	if (encoding && (strcmp(encoding, "base64") == 0 || strcmp(encoding, "b64") == 0)) {
		decoded = decode_base64(value);
		*ret_length = (size_t)decoded;
	} else if (encoding && *encoding && strcmp(encoding, " ") != 0) {
		fprintf(stderr, "metadata: guestinfo.%s is left out: only base64 is decoded\n", name);
		decoded = -1;
	}
	free(encoding);
	/* "---" and blanks stand for nothing, as settings cannot be taken away */
	if (decoded < 0 || (value && (strcmp(value, "---") == 0 || !value[strspn(value, " \n")]))) {
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
