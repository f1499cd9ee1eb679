/* The steps of a program, as the child that does them. */
#include "program.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/mount.h>

#include "files.h"
#include "sys.h"

#define FAILED 126 /* a step failed */
#define NOT_FOUND 127

static _Noreturn void give_up(const char *what, const char *name, int error, int status)
{
	TEXT(line, 512);

	text_join(&line, what, name, ": ", strerror(-error), "\n", NULL);
	(void)sys_write(2, line.data, line.length);
	sys_exit(status);
}

static _Noreturn void do_exec(const struct record *record)
{
	static char path[] = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
	static char home[] = "HOME=/";
	char *environment[] = {path, home, NULL};
	char *argv[MAX_FIELDS + 1];
	int done;

	for (unsigned i = 0; i < record->count; i++)
		argv[i] = (char *)(uintptr_t)record_field(record, i); /* execve does not change them */
	argv[record->count] = NULL;
	done = sys_exec(argv, environment);
	give_up("cannot start ", argv[0], done, NOT_FOUND);
}

static int do_mount(const struct record *record)
{
	const char *source = record_field(record, 0), *type = record_field(record, 2);
	const char *data = record_field(record, 4);
	uint64_t flags = 0;

	(void)text_number(record_field(record, 3), UINT32_MAX, &flags);
	return sys_mount(*source ? source : NULL, record_field(record, 1), *type ? type : NULL,
			 (unsigned long)flags, *data ? data : NULL);
}

static int do_mkdir(const struct record *record)
{
	unsigned mode = 0;

	for (const char *s = record_field(record, 1); *s; s++)
		mode = mode * 8 + (unsigned)(*s - '0');
	return file_mkdirs(record_field(record, 0), mode);
}

/* Keeps a namespace of the main process alive under a path, for others to join. */
static int do_bind_ns(const struct unit *unit, const struct record *record)
{
	const char *path = record_field(record, 1);
	TEXT(source, 64);
	TEXT(above, MAX_STRING + 1);
	int pid = program_read_pid(unit);
	int done;

	if (!pid)
		return -ESRCH;
	text_add(&source, "/proc/");
	text_add_number(&source, pid);
	text_join(&source, "/ns/", record_field(record, 0), NULL);
	text_add_bytes(&above, path, (size_t)(strrchr(path, '/') - path));
	done = above.length ? file_mkdirs(above.data, 0755) : 0;
	if (done < 0)
		return done;
	done = sys_open(path, O_RDONLY | O_CREAT, 0644);
	if (done < 0)
		return done;
	sys_close(done);
	return sys_mount(source.data, path, NULL, MS_BIND, NULL);
}

static _Noreturn void child(const struct table *table, const struct unit *unit, size_t at,
			    int output)
{
	struct record record;
	int null = sys_open("/dev/null", O_RDWR, 0);
	int done = 0;

	sys_new_session();
	(void)sys_duplicate(null >= 0 ? null : output, 0);
	(void)sys_duplicate(output, 1);
	(void)sys_duplicate(output, 2);
	while (table_step(table, &at, &record)) {
		switch (record.kind) {
		case RECORD_EXEC:
			sys_default_signals();
			sys_umask(0022);
			do_exec(&record);
		case RECORD_MKDIR:
			done = do_mkdir(&record);
			if (done < 0)
				give_up("cannot make the directory ", record.fields, done, FAILED);
			break;
		case RECORD_MOUNT:
			done = do_mount(&record);
			if (done < 0)
				give_up("cannot mount ", record_field(&record, 1), done, FAILED);
			break;
		case RECORD_UMOUNT: /* others may hold it still; it goes when they do */
			done = sys_umount(record.fields, MNT_DETACH);
			if (done < 0 && done != -EINVAL)
				give_up("cannot unmount ", record.fields, done, FAILED);
			break;
		default: /* RECORD_BIND_NS */
			done = do_bind_ns(unit, &record);
			if (done < 0)
				give_up("cannot keep a namespace at ", record_field(&record, 1), done,
					FAILED);
			break;
		}
	}
	sys_exit(0);
}

int program_begin(const struct table *table, const struct unit *unit, size_t *at, int output)
{
	struct record record;
	size_t next = *at;
	bool found = false;
	int pid;

	while (table_step(table, &next, &record)) {
		found = true;
		if (record.kind == RECORD_EXEC)
			break;
	}
	if (!found)
		return 0;
	pid = sys_fork();
	if (pid == 0)
		child(table, unit, *at, output);
	if (pid > 0)
		*at = next;
	return pid;
}

int program_read_pid(const struct unit *unit)
{
	char line[32];
	uint64_t pid = 0;

	if (!unit->pidfile || file_read(unit->pidfile, line, sizeof line) < 0)
		return 0;
	return text_number(line, 1 << 22, &pid) && pid > 1 ? (int)pid : 0; /* PID_MAX_LIMIT */
}
