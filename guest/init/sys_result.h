/* For the real bodies of sys.h only. */
#pragma once

#include <errno.h>

/* What a call returned, with errno turned into the result. */
static inline int result(long done)
{
	return done < 0 ? -errno : (int)done;
}
