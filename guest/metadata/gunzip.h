#pragma once
/* Texts that were made smaller: gzip (RFC 1952) of deflate (RFC 1951), bounded in size. */
#include <stddef.h>

/* What the data says, ended by a NUL and to be freed; NULL when it is no whole gzip, or its text is
 * larger than MAX_BODY or not the one that was put in. */
char *gunzip(const void *data, size_t length, size_t *ret_length);
