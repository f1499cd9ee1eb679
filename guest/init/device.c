/* Cold-plug and hot-plug. */
#include "device.h"

#include <errno.h>
#include <string.h>

#include "files.h"
#include "module.h"
#include "sys.h"
#include "text.h"

#define MAX_ALIASES 4096
#define ALIAS_BYTES (1 << 19)
#define ROUNDS 6 /* a module may reveal devices that need another one */
#define MESSAGES 64 /* at one time */

struct aliases {
	const char *list[MAX_ALIASES];
	size_t count;
	struct text text; /* the strings, each with its NUL */
};

static void add_alias(struct aliases *aliases, const char *path)
{
	char alias[1024];
	int length = file_read(path, alias, sizeof alias);

	if (length <= 0 || aliases->count == MAX_ALIASES)
		return;
	for (size_t i = aliases->count; i-- > 0;)
		if (strcmp(aliases->list[i], alias) == 0)
			return;
	if (aliases->text.size - aliases->text.length < (size_t)length + 2)
		return;
	aliases->list[aliases->count++] = aliases->text.data + aliases->text.length;
	text_add_bytes(&aliases->text, alias, (size_t)length + 1);
}

/* A device that has a driver needs no other. */
static bool look_at_device(const char *folder, const char *name, void *context)
{
	TEXT(path, 400);

	text_join(&path, folder, "/", name, "/driver", NULL);
	if (sys_exists(path.data))
		return true;
	path.length -= strlen("driver");
	text_add(&path, "modalias");
	add_alias(context, path.data);
	return true;
}

static bool look_at_bus(const char *folder, const char *name, void *context)
{
	TEXT(path, 300);

	text_join(&path, folder, "/", name, "/devices", NULL);
	(void)file_list(path.data, look_at_device, context);
	return true;
}

static void look_around(struct aliases *aliases)
{
	aliases->count = 0;
	aliases->text.length = 0;
	(void)file_list("/sys/bus", look_at_bus, aliases);
	(void)file_list("/sys/class/input", look_at_device, aliases);
	add_alias(aliases, "/sys/class/dmi/id/modalias");
	add_alias(aliases, "/sys/devices/system/cpu/modalias");
}

int device_cold_plug(void)
{
	static struct aliases aliases;
	char *memory = sys_allocate(ALIAS_BYTES);
	bool ignored;

	if (!memory || !module_setup())
		return 0; /* a kernel without modules needs none */
	aliases.text = text_in(memory, ALIAS_BYTES);
	for (int round = 0; round < ROUNDS; round++) {
		look_around(&aliases);
		if (module_load_aliases(aliases.list, aliases.count, &ignored) == 0)
			break;
	}
	return 0;
}

/* Whether a message, NUL-separated strings, has one that starts like this. */
static bool has(const char *message, size_t size, const char *start)
{
	size_t length = strlen(start);

	for (size_t at = 0; at < size; at += strnlen(message + at, size - at) + 1)
		if (size - at >= length && memcmp(message + at, start, length) == 0)
			return true;
	return false;
}

bool device_news(int uevents, bool *ret_report_port)
{
	bool wanted = false;
	char message[4096];

	*ret_report_port = false;
	for (int i = 0; i < MESSAGES; i++) {
		ssize_t size = sys_read(uevents, message, sizeof message);

		if (size == -ENOBUFS /* some were lost: look at everything */)
			wanted = true;
		else if (size <= 0)
			break;
		else if (has(message, (size_t)size, "ACTION=add") ||
			 has(message, (size_t)size, "ACTION=change")) {
			wanted |= has(message, (size_t)size, "MODALIAS=");
			*ret_report_port |= has(message, (size_t)size, "SUBSYSTEM=virtio-ports");
		}
	}
	return wanted;
}
