/* Sockets of services that say when they are ready. */
#include "notify.h"

#include <errno.h>
#include <string.h>

#include "console.h"
#include "files.h"
#include "sys.h"

#define MESSAGE_BYTES 4096
#define READS 16 /* at one time */

static int sockets[MAX_UNITS];

void notify_setup(const struct table *table, int epoll, uint64_t key)
{
	for (unsigned i = 0; i < table->unit_count; i++) {
		const struct unit *unit = &table->units[i];
		TEXT(folder, MAX_STRING + 1);

		if (unit->ready.kind != PROBE_NOTIFY)
			continue;
		text_add_bytes(&folder, unit->ready.words,
			       (size_t)(strrchr(unit->ready.words, '/') - unit->ready.words));
		(void)file_mkdirs(folder.data, 0755);
		sockets[i] = sys_listen(unit->ready.words, true);
		if (sockets[i] < 0)
			SAY("cannot listen at ", unit->ready.words, ": ", strerror(-sockets[i]));
		else
			(void)sys_watch(epoll, sockets[i], EPOLLIN, key | i);
	}
}

/* A message is lines of NAME=VALUE. */
static bool says_ready(const char *message)
{
	static const char word[] = "READY=1";

	while (*message) {
		size_t length = strcspn(message, "\n");

		if (length == sizeof word - 1 && memcmp(message, word, length) == 0)
			return true;
		message += length + (message[length] == '\n');
	}
	return false;
}

bool notify_read(unsigned number)
{
	char message[MESSAGE_BYTES + 1];
	bool ready = false;

	for (int i = 0; i < READS; i++) {
		ssize_t done = sys_read(sockets[number], message, MESSAGE_BYTES);

		if (done < 0)
			break;
		message[done] = '\0';
		ready |= says_ready(message);
	}
	return ready;
}
