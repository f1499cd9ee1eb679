#pragma once
/* JSON as RFC 8259 has it, bounded in size and depth. */
#include <stdbool.h>
#include <stddef.h>

#define MAX_DEPTH 16
#define MAX_NODES 8192

enum kind { JSON_NULL, JSON_BOOL, JSON_NUMBER, JSON_TEXT, JSON_LIST, JSON_MAP };

struct json {
	enum kind kind;
	const char *key;  /* in a map; a key with a NUL in it is refused */
	const char *text; /* of a text, ended by a NUL, which it may also have inside */
	size_t length;
	const struct json *first, *next; /* the first of a list or map; the next beside this one */
};

/* What the text says, or NULL when it is no JSON, too deep or too large.  The text is changed, and
 * what is returned leads into it; both are gone with the next call. */
const struct json *json_read(char *text, size_t length);

/* The member of a map; NULL also when it is no map. */
const struct json *json_get(const struct json *map, const char *key);

/* The text of a member, NULL when there is none or it has a NUL inside. */
const char *json_text(const struct json *map, const char *key);
