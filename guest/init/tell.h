/* What a caller is told of a unit. */
#pragma once

#include <stdbool.h>

#include "session.h"
#include "table.h"

/* One line: what it is, how it is, its counters, and its last line when it failed. */
void tell_state(struct session *session, const struct unit *unit, unsigned number);
/* What it has called, if it learns; false when there is nothing. */
bool tell_calls(struct session *session, const struct unit *unit);
