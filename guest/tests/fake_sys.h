/* A machine made of tables, for tests: files, pipes, children and a clock that stands still. */
#pragma once

#include <setjmp.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct fake {
	int64_t now;
	int64_t clock;
	int next_pid;       /* of the next fork; 0: this is the child */
	int fork_error;     /* a negative errno makes fork fail */
	bool childless;     /* waiting says that there is no child */
	bool hung_up;
	bool write_blocks;  /* writing to what is no pipe takes nothing */
	jmp_buf child_over; /* where sys_exit and sys_exec go */
	char trace[1 << 16]; /* what was done to the machine, one line each */
	int mount_error, connect_error, routes_error;
	int connections;    /* that wait, to the file "/conn" */
	int reads;          /* from any file, so far */
	int64_t timer;
};

extern struct fake fake;

void fake_reset(void);
/* Makes or replaces a file; text may hold NULs. */
void fake_file(const char *path, const char *data, size_t size);
void fake_text(const char *path, const char *text);
/* Makes the file a device: readers get this text, then nothing for the moment. */
void fake_input(const char *path, const char *text);
/* What has been written to a file so far. */
const char *fake_content(const char *path);
void fake_remove(const char *path);
/* A child ended. */
void fake_ended(int pid, int status, int signal);
bool fake_did(const char *line);
/* How often a line stands in the trace. */
int fake_times(const char *line);

/* What the parts of the machine share. */
__attribute__((format(printf, 1, 2))) void fake_trace(const char *format, ...);
void fake_files_reset(void);
