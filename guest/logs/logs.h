/* What the programs about logs share: reading what PID 1 has written, files that rotate, words. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define MAX_SOURCES 512 /* as many units as a boot table has */
#define MAX_LINE 2000   /* bytes; longer lines come in pieces */
#define MAX_NAME 132
#define MAX_PATH_BYTES 320
#define POLL_MS 500

/* A log file of PID 1: SECTION/NAME's output, and where it has been. */
struct source {
	const char *section;
	char name[MAX_NAME];
	char path[MAX_PATH_BYTES];
};

struct sources {
	struct source list[MAX_SOURCES];
	unsigned count;
};

/* How far somebody has read; zeroed: not at all. */
struct cursor {
	uint64_t inode;
	int64_t at;
};

/* Takes a line without its end; false: not now, it will be offered again. */
typedef bool (*taker)(void *context, const struct source *source, const char *line, size_t length);

/* Adds the files of units that were not there before; below root, which is "" but for tests. */
void sources_find(struct sources *sources, const char *root);
/*
 * Offers what follows the cursor, at most a piece of it.  What a rotation has taken away is offered
 * as a line that says so; whole says that the last line is one even without an end.
 */
void source_read(const struct source *source, struct cursor *cursor, bool whole, taker take,
		 void *context);

/*
 * Cursors that outlive the process: in FOLDER/NUMBER if there is a folder, a file that only the
 * owner of the same number finds again.
 */
struct positions *positions_open(const char *folder, unsigned number, uint64_t owner);
/* The cursor for a path, which stays where it is; NULL when there are too many paths. */
struct cursor *positions_of(struct positions *positions, const char *path);

/* A file that is renamed to PATH.1, PATH.2 … when it is full. */
struct rotated {
	char path[MAX_PATH_BYTES];
	int64_t most;    /* bytes */
	unsigned files;  /* that may be there, with PATH itself */
	int64_t size;
	int fd;          /* negative: not open */
};

/* Returns false, with errno, when the line is not in the file. */
bool rotated_write(struct rotated *file, const char *line, size_t length);

/* "2026-11-26T11:22:33.123Z", of the time in ms since 1970. */
#define TIME_BYTES 32
void format_time(int64_t ms, char ret[static TIME_BYTES]);
int64_t now_ms(void); /* since 1970 */

/* A whole number within limits, else the program ends with status 2 and says whose it is. */
int64_t parse_number(const char *text, int64_t least, int64_t most, const char *whose);
_Noreturn __attribute__((format(printf, 2, 3))) void give_up(int status, const char *format, ...);

/* Appends text as the inside of a JSON string; returns its length, cut to fit into size. */
size_t json_escape(const char *text, size_t length, char *ret, size_t size);

int forward_main(int argc, char *argv[]);
int memlogd_main(int argc, char *argv[]);
int logread_main(int argc, char *argv[]);
int logwrite_main(int argc, char *argv[]);
