/*
 * Finds out what the machine was told by who started it, and writes it down:
 *   metadata [-o FOLDER] [PROVIDER | file=PATH ...]
 * Without a provider: clouds, VMware, then CDs and disks, then the firmware.  The first one that knows
 * something is taken.  FOLDER is /run/config.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "http.h"
#include "provider.h"
#include "store.h"

static const struct provider local_providers[] = {
	{"vmware", NULL, false, vmware_look},
	{"cdrom", NULL, false, disc_look},
	{"firmware", NULL, false, firmware_look},
};
static struct found found;

/* One address serves many clouds: where nobody listens it is asked once. */
static bool is_there(const char *address)
{
	static const char *silent[4];

	for (size_t i = 0; i < sizeof silent / sizeof silent[0]; i++)
		if (silent[i] && strcmp(silent[i], address) == 0)
			return false;
	if (http_is_there(address))
		return true;
	for (size_t i = 0; i < sizeof silent / sizeof silent[0]; i++)
		if (!silent[i]) {
			silent[i] = address;
			break;
		}
	return false;
}

static bool try_one(const struct provider *provider)
{
	if (provider->address && !is_there(provider->address))
		return false;
	if (!provider->look(provider, &found))
		return false;
	printf("metadata: found by %s\n", provider->name);
	store_text("provider", provider->name);
	return true;
}

static bool try_file(const char *path)
{
	size_t length;
	char *data = file_read(AT_FDCWD, path, &length);

	if (!data)
		return false;
	keep_userdata(&found, data, length);
	free(data);
	printf("metadata: found in %s\n", path);
	store_text("provider", "file");
	return true;
}

static const struct provider *find(const char *name)
{
	for (size_t i = 0; i < cloud_provider_count; i++)
		if (strcmp(cloud_providers[i].name, name) == 0)
			return &cloud_providers[i];
	for (size_t i = 0; i < sizeof local_providers / sizeof local_providers[0]; i++)
		if (strcmp(local_providers[i].name, name) == 0)
			return &local_providers[i];
	return NULL;
}

static bool try_all(void)
{
	for (size_t i = 0; i < cloud_provider_count; i++)
		if (!cloud_providers[i].only_named && try_one(&cloud_providers[i]))
			return true;
	for (size_t i = 0; i < sizeof local_providers / sizeof local_providers[0]; i++)
		if (try_one(&local_providers[i]))
			return true;
	return false;
}

static void finish(void)
{
	if (found.hostname[0]) {
		store_text("hostname", found.hostname);
		if (sethostname(found.hostname, strlen(found.hostname)) < 0)
			fprintf(stderr, "metadata: cannot set the name %s: %s\n", found.hostname, strerror(errno));
	}
	if (found.userdata) {
		(void)store_write("userdata", found.userdata, found.userdata_length, 0600);
		store_expand(found.userdata, found.userdata_length);
	}
}

int main(int argc, char **argv)
{
	const char *folder = "/run/config";
	bool done = false;
	int at = 1;

	if (argc > 2 && strcmp(argv[1], "-o") == 0) {
		folder = argv[2];
		at = 3;
	}
	for (int i = at; i < argc; i++)
		if (strncmp(argv[i], "file=", 5) != 0 && !find(argv[i])) {
			fprintf(stderr, "metadata: no provider is called \"%s\"\n", argv[i]);
			return 2;
		}
	if (!store_open(folder))
		return 1;
	if (at == argc)
		done = try_all();
	for (int i = at; i < argc && !done; i++)
		done = strncmp(argv[i], "file=", 5) == 0 ? try_file(argv[i] + 5) : try_one(find(argv[i]));
	if (done)
		finish();
	else
		printf("metadata: nobody has told this machine anything\n");
	free(found.userdata);
	return 0;
}
