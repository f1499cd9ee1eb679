/* What a caller is told of a unit. */
#include "tell.h"

#include <fcntl.h>

#include "log.h"
#include "supervise.h"
#include "sys.h"

void tell_state(struct session *session, const struct unit *unit, unsigned number)
{
	const struct log_counts counts = log_counts(number);
	TEXT(line, SESSION_PIECE);
	TEXT(last, 400);

	text_join(&line, section_word(unit->section), "/", unit->name, "\t",
		  unit->state == UNIT_WAITING ? "waiting" : unit_word(unit), NULL);
	for (const int64_t *n = (const int64_t[]){unit->main_pid, unit->starts, unit->status, unit->signal,
						  counts.bytes, counts.hidden_lines, counts.lost_bytes, -1};
	     *n >= 0; n++) {
		text_add(&line, "\t");
		text_add_number(&line, *n);
	}
	log_last_line(number, &last);
	text_add(&line, "\t");
	text_add_json(&line, unit->outcome == OUTCOME_FAILED ? last.data : "", 800);
	text_add(&line, "\n");
	session_say(session, "out", line.data, line.length);
}

/* It made the file itself, so that may be anything. */
bool tell_calls(struct session *session, const struct unit *unit)
{
	char bytes[SESSION_PIECE];
	ssize_t length;
	TEXT(path, 300);
	int fd;

	text_join(&path, LEARNED_DIR "/", section_word(unit->section), "/", unit->name, "/calls", NULL);
	fd = sys_open(path.data, O_RDONLY | O_NOFOLLOW | O_NONBLOCK, 0);
	length = fd < 0 ? fd : sys_read(fd, bytes, sizeof bytes);
	if (fd >= 0)
		sys_close(fd);
	if (length > 0)
		session_say(session, "out", bytes, (size_t)length);
	return length > 0;
}
