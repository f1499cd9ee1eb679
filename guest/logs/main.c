/* One program under four names: it is what it is called as. */
#include <stdio.h>
#include <string.h>

#include "logs.h"

static const struct {
	const char *name;
	int (*run)(int argc, char *argv[]);
} programs[] = {
	{"log-forward", forward_main}, {"memlogd", memlogd_main}, {"logread", logread_main},
	{"logwrite", logwrite_main},
};

int main(int argc, char *argv[])
{
	const char *slash = argc ? strrchr(argv[0], '/') : NULL;
	const char *name = slash ? slash + 1 : argc ? argv[0] : "";

	for (size_t i = 0; i < sizeof programs / sizeof *programs; i++)
		if (strcmp(programs[i].name, name) == 0)
			return programs[i].run(argc, argv);
	give_up(2, "call me log-forward, memlogd, logread or logwrite");
}
