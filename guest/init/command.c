/* Commands in containers. */
#include "command.h"

#include <errno.h>
#include <string.h>

#include "program.h"
#include "sys.h"

static void pid_file_of(const struct command *command, struct text *ret)
{
	text_add(ret, UNITS_DIR "/exec-");
	text_add_number(ret, command->number);
}

/* Closing also ends the watching. */
static void close_both(int ends[2])
{
	for (int i = 0; i < 2; i++) {
		sys_close(ends[i]);
		ends[i] = -1;
	}
}

int command_begin(struct command *command, const struct unit *unit, unsigned number, char *words[],
		  unsigned count)
{
	static char flat[SESSION_LINE];
	int output[2], error[2];
	size_t used = 0;
	TEXT(path, 64);

	for (unsigned i = 0; i < count; i++) {
		memcpy(flat + used, words[i], strlen(words[i]) + 1);
		used += strlen(words[i]) + 1;
	}
	if (sys_pipe(output) < 0)
		return -EMFILE;
	if (sys_pipe(error) < 0) {
		close_both(output);
		return -EMFILE;
	}
	*command = (struct command){.number = number, .readers = {output[0], error[0]}};
	pid_file_of(command, &path);
	command->pid = program_enter(unit, path.data, flat, count, output[1], error[1]);
	sys_close(output[1]);
	sys_close(error[1]);
	if (command->pid < 0)
		close_both(command->readers);
	return command->pid < 0 ? command->pid : 0;
}

bool command_pass_on(struct command *command, struct session *session)
{
	static const char *const kinds[] = {"out", "err"};

	for (int i = 0; i < 2; i++) {
		char bytes[SESSION_PIECE];
		ssize_t done = 1;

		while (command->readers[i] >= 0 && done > 0) {
			if (!session_has_room(session))
				return false;
			done = sys_read(command->readers[i], bytes, sizeof bytes);
			if (done > 0) {
				session_say(session, kinds[i], bytes, (size_t)done);
			} else if (done != -EAGAIN) {
				sys_close(command->readers[i]);
				command->readers[i] = -1;
			}
		}
	}
	return !command->pid && session_has_room(session);
}

void command_end(struct command *command)
{
	TEXT(path, 64);

	pid_file_of(command, &path);
	if (command->pid)
		program_end_entered(path.data, command->pid);
	command->pid = 0;
	close_both(command->readers);
}
