/* The steps of a program, as the child that does them. */
#include "program.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <sys/mount.h>

#include "files.h"
#include "link.h"
#include "sys.h"

#define FAILED 126 /* a step failed */
#define NOT_FOUND 127
#define LINK_MS 10000 /* for a card to appear, or for a network of a time before to go */

static _Noreturn void give_up(const char *what, const char *name, int error, int status)
{
	TEXT(line, 512);

	text_join(&line, what, name, ": ", strerror(-error), "\n", NULL);
	(void)sys_write(2, line.data, line.length);
	sys_exit(status);
}

struct command {
	char *argv[2 * MAX_FIELDS + 1];
	unsigned count;
};

static void add_words(struct command *command, const char *words, unsigned count)
{
	for (unsigned i = 0; i < count; i++, words += strlen(words) + 1)
		command->argv[command->count++] = (char *)(uintptr_t)words; /* execve changes none */
}

static _Noreturn void do_exec(struct command *command)
{
	static char path[] = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
	static char home[] = "HOME=/";
	char *environment[] = {path, home, NULL};
	int done;

	sys_default_signals();
	sys_umask(0022);
	done = sys_exec(command->argv, environment);
	give_up("cannot start ", command->argv[0], done, NOT_FOUND);
}

/* A session of its own, with nothing to read. */
static void detach(int output, int error)
{
	int null = sys_open("/dev/null", O_RDWR, 0);

	sys_new_session();
	output = output < 0 ? null : output;
	(void)sys_duplicate(null >= 0 ? null : output, 0);
	(void)sys_duplicate(output, 1);
	(void)sys_duplicate(error < 0 ? null : error, 2);
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

static unsigned octal_field(const struct record *record, unsigned index)
{
	unsigned mode = 0;

	for (const char *s = record_field(record, index); *s; s++)
		mode = mode * 8 + (unsigned)(*s - '0');
	return mode;
}

static void below_proc(struct text *ret, int pid, const char *name)
{
	text_add(ret, "/proc/");
	text_add_number(ret, pid);
	text_add(ret, name);
}

/* Keeps a namespace of the main process alive under a path, for others to join. */
static int do_bind_ns(const struct unit *unit, const struct record *record)
{
	const char *path = record_field(record, 1);
	TEXT(source, 64);
	TEXT(above, MAX_STRING + 1);
	int pid = 0, done;

	if (!program_read_pid(unit, &pid))
		return -ESRCH;
	below_proc(&source, pid, "/ns/");
	text_add(&source, record_field(record, 0));
	text_add_bytes(&above, path, (size_t)(strrchr(path, '/') - path));
	done = above.length ? file_mkdirs(above.data, 0755) : 0;
	done = done < 0 ? done : sys_open(path, O_RDONLY | O_CREAT, 0644);
	if (done < 0)
		return done;
	sys_close(done);
	(void)sys_umount(path, MNT_DETACH); /* that of the time before */
	return sys_mount(source.data, path, NULL, MS_BIND, NULL);
}

static int do_link(const struct unit *unit, const struct record *record)
{
	const struct given_link link = {
		.name = record_field(record, 0), .kind = record_field(record, 1),
		.peer = record_field(record, 2), .outside = !strcmp(record_field(record, 3), "root"),
	};
	bool patient = unit->starts > 1 || !*link.kind;
	int pid = 0;

	if (!program_read_pid(unit, &pid))
		return -ESRCH;
	return link_give(&link, pid, patient ? sys_now() + LINK_MS : 0);
}

static _Noreturn void child(const struct table *table, const struct unit *unit, size_t at, int output)
{
	struct command command = {0};
	struct record record;
	int done = 0;

	detach(output, output);
	while (table_step(table, &at, &record)) {
		switch (record.kind) {
		case RECORD_EXEC:
			add_words(&command, record.fields, record.count);
			do_exec(&command);
		case RECORD_MKDIR:
			done = file_mkdirs(record.fields, octal_field(&record, 1));
			if (done < 0)
				give_up("cannot make the directory ", record.fields, done, FAILED);
			break;
		case RECORD_DEVICE:
			done = sys_chmod(record.fields, octal_field(&record, 1));
			if (done < 0)
				give_up("this machine cannot give out ", record.fields, done, FAILED);
			break;
		case RECORD_MOUNT_ONCE:
			if (unit->starts > 1)
				break;
			/* fall through */
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
		case RECORD_LINK:
			done = do_link(unit, &record);
			if (done < 0)
				give_up("cannot give the interface ", record.fields, done, FAILED);
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

static int to_pid(const char *word)
{
	uint64_t pid = 0;

	return text_number(word, 1 << 22, &pid) && pid > 1 ? (int)pid : 0; /* PID_MAX_LIMIT */
}

/* The pid in a file; and the second one there, if it has two, or the same again. */
static int read_pids(const char *path, int *ret_inside)
{
	char line[32];
	char *second;
	int pid;

	if (file_read(path, line, sizeof line) < 0)
		return 0;
	second = strchr(line, ' ');
	if (second)
		*second++ = '\0';
	pid = to_pid(line);
	*ret_inside = second ? to_pid(second) : pid;
	return *ret_inside ? pid : 0;
}

int program_read_pid(const struct unit *unit, int *ret_inside)
{
	return unit->pidfile ? read_pids(unit->pidfile, ret_inside) : 0;
}

int program_enter(const struct unit *unit, const char *pidfile, const char *words, unsigned count,
		  int output, int error)
{
	struct command command = {0};
	int pid;

	if (count > MAX_FIELDS)
		return -E2BIG;
	(void)sys_remove(pidfile);
	pid = sys_fork();
	if (pid)
		return pid;
	detach(output, error);
	add_words(&command, unit->enter, unit->enter_count);
	for (unsigned i = 0; i < command.count; i++)
		if (!*command.argv[i]) /* the table leaves a place for it */
			command.argv[i] = (char *)(uintptr_t)pidfile;
	add_words(&command, words, count);
	do_exec(&command);
}

static bool end_child(const char *folder, const char *name, void *parent)
{
	(void)folder;
	if (file_parent(to_pid(name)) == *(int *)parent)
		(void)sys_kill(to_pid(name), SIGKILL);
	return true;
}

void program_end_entered(const char *pidfile, int pid)
{
	int inside = 0;

	(void)read_pids(pidfile, &inside);
	/* the runtime's own end would leave it behind */
	if (inside && file_parent(inside) == pid)
		(void)sys_kill(inside, SIGKILL);
	else if (sys_kill(pid, SIGSTOP) == 0) /* it may have begun one, and not yet written the file */
		(void)file_list("/proc", end_child, &pid);
	(void)sys_kill(pid, SIGKILL);
}

/* Whether something answers at the port, seen from the unit's own network. */
static int probe_tcp(const struct unit *unit, const char *port)
{
	uint64_t number = 0;
	TEXT(path, 64);
	int done;

	below_proc(&path, unit->inside_pid, "/ns/net");
	done = sys_join_namespace(path.data);
	if (done < 0)
		return done;
	(void)text_number(port, 65535, &number);
	return sys_connect_here((unsigned)number);
}

static int probe_file(const struct unit *unit, const char *path)
{
	TEXT(root, 64);
	int done;

	below_proc(&root, unit->inside_pid, "/root");
	done = sys_chroot(root.data);
	return done < 0 ? done : sys_exists(path) ? 0 : -ENOENT;
}

int program_probe(const struct unit *unit, const struct probe *probe, const char *pidfile)
{
	int pid, done;

	if (probe->kind == PROBE_EXEC)
		return program_enter(unit, pidfile, probe->words, probe->count, -1, -1);
	pid = sys_fork();
	if (pid)
		return pid;
	detach(-1, -1);
	done = probe->kind == PROBE_TCP ? probe_tcp(unit, probe->words) : probe_file(unit, probe->words);
	sys_exit(done < 0);
}
