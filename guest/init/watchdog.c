/* Feeding the watchdog (Documentation/watchdog/watchdog-api.rst of the kernel). */
#include "watchdog.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>

#include "console.h"
#include "sys.h"

#define FEEDS 4      /* within its time */
#define LOOK_MS 1000   /* for a device that is not there yet */
#define LOOKS 60

static int device = -1;
static int64_t next_feed;
static int looks;

static void set_up(const struct table *table)
{
	int done = sys_set_watchdog(device, (unsigned)(table->watchdog_ms / 1000));

	if (done < 0)
		SAY(table->watchdog, " keeps its own time: ", strerror(-done));
	else
		SAY(table->watchdog, " watches this machine");
}

int64_t watchdog_feed(const struct table *table, int64_t now)
{
	if (!table->watchdog || looks > LOOKS)
		return NEVER;
	if (now < next_feed)
		return next_feed;
	if (device < 0) {
		device = sys_open(table->watchdog, O_WRONLY | O_NONBLOCK, 0);
		if (device >= 0) {
			set_up(table);
		} else if (++looks > LOOKS) {
			SAY("no watchdog ", table->watchdog, ": ", strerror(-device), ", going on");
			return NEVER;
		}
	}
	if (device >= 0)
		(void)sys_write(device, "\0", 1);
	next_feed = now + (device < 0 ? LOOK_MS : table->watchdog_ms / FEEDS);
	return next_feed;
}

void watchdog_release(void)
{
	if (device < 0)
		return;
	(void)sys_write(device, "V", 1); /* the "magic close" */
	sys_close(device);
	device = -1;
}
