/* Landlock (Documentation/userspace-api/landlock.rst): what may be read, written, run and reached. */
#pragma once

#include "record.h"

/* 0, or a negative errno with *ret_what saying what could not be done. */
int landlock_apply(const struct record *record, const char **ret_what);
