#pragma once
/* What one small HTTP/1.1 request to a server nearby needs: no TLS, no redirects. */
#include <stdbool.h>
#include <stddef.h>

#define MAX_BODY (1024 * 1024)
#define HTTP_MS 5000 /* for a whole exchange */

struct answer {
	int status;          /* 0: nobody answered, or what came was no HTTP or too large */
	char head[16384];    /* the header fields, each ended by a NUL, with another one at the end */
	char body[MAX_BODY + 1]; /* ended by a NUL */
	size_t length;
};

/* Whether something listens at the address, or the name's, within two seconds. */
bool http_is_there(const char *address);

/* Asks `address` on port 80; `fields` are lines that end with CR LF.  With `privileged` the
 * connection comes from a port below 1024.  Returns whether the status was 200. */
bool http_ask(const char *address, const char *method, const char *path, const char *fields,
	      bool privileged, struct answer *answer);

/* The value of a header field; NULL when there is none. */
const char *http_field(const struct answer *answer, const char *name);
