/* Name, clock, loopback, limits. */
#include "host.h"

#include <errno.h>
#include <string.h>

#include "console.h"
#include "files.h"
#include "sys.h"
#include "text.h"

#define NETWORK "/sys/class/net"
#define CLOCK_IS_SET 1492533000 /* 2017: the kernel got the time from somewhere */
#define ETHERNET 1

struct card {
	uint64_t index; /* the kernel's number; the lowest is the first card */
	char address[32];
};

static bool look_at_card(const char *folder, const char *name, void *context)
{
	struct card *first = context;
	char value[32];
	uint64_t kind = 0, index = 0;
	TEXT(path, 300);

	text_join(&path, folder, "/", name, "/type", NULL);
	if (file_read(path.data, value, sizeof value) < 0 || !text_number(value, 65535, &kind) ||
	    kind != ETHERNET)
		return true;
	path.length = 0;
	text_join(&path, folder, "/", name, "/ifindex", NULL);
	if (file_read(path.data, value, sizeof value) < 0 || !text_number(value, UINT32_MAX, &index) ||
	    index >= first->index)
		return true;
	path.length = 0;
	text_join(&path, folder, "/", name, "/address", NULL);
	if (file_read(path.data, first->address, sizeof first->address) > 0)
		first->index = index;
	return true;
}

static void set_hostname(void)
{
	char given[65];
	struct card card = {.index = UINT64_MAX};
	TEXT(name, 65);

	if (file_read("/etc/hostname", given, sizeof given) > 0) {
		given[strcspn(given, " \t\r\n")] = '\0';
		text_add(&name, given);
	} else {
		text_add(&name, "linuxkit");
		(void)file_list(NETWORK, look_at_card, &card);
		if (card.index != UINT64_MAX)
			text_add(&name, "-");
		for (const char *s = card.address; *s; s++)
			if (*s != ':')
				text_add_bytes(&name, s, 1);
	}
	if (name.length)
		(void)sys_hostname(name.data);
}

void host_setup(void)
{
	int done;

	set_hostname();
	done = sys_loopback_up();
	if (done < 0)
		SAY("cannot set up the loopback device: ", strerror(-done), ", going on");
	if (sys_clock() < CLOCK_IS_SET)
		(void)sys_clock_from_rtc("/dev/rtc0"); /* many machines have none */
}
