#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include "probe.h"

int main(int count, char **words)
{
	const char *verb = count > 1 ? words[1] : "";

	setvbuf(stdout, NULL, _IOLBF, 0);
	if (strcmp(verb, "nothing") == 0)
		return 0;
	if (strcmp(verb, "devour") == 0)
		return devour();
	if (strcmp(verb, "orphans") == 0 && count > 2)
		return leave_orphans(atoi(words[2]));
	if (strcmp(verb, "write") == 0 && count > 2)
		return keep_writing(words[2]);
	if (strcmp(verb, "gabble") == 0 && count > 3)
		return gabble(words[2], atoi(words[3]));
	if (strcmp(verb, "devices") == 0)
		devices();
	if (strcmp(verb, "listen") == 0) {
		say("abstract-listen", abstract(true));
		tell_ready();
		for (;;)
			pause();
	}
	identity();
	limit("limit-core", RLIMIT_CORE);
	limit("limit-nofile", RLIMIT_NOFILE);
	limit("limit-memlock", RLIMIT_MEMLOCK);
	sleep(1); /* the console of a unit takes some KiB a second */
	calls();
	sleep(1);
	sockets();
	files();
	memory();
	processes();
	say_text("done", "ok");
	if (strcmp(verb, "once") == 0)
		return 0;
	for (;;)
		pause();
}
