/* A reader of JSON that decodes texts in place: what is decoded is never longer than what was there. */
#include "json.h"

#include <stdint.h>
#include <string.h>

struct reader {
	char *at, *end;
};

static struct json nodes[MAX_NODES];
static size_t used;

static const struct json *read_value(struct reader *r, const char *key, int depth);

static void skip_blanks(struct reader *r)
{
	while (r->at < r->end && strchr(" \t\r\n", *r->at) && *r->at)
		r->at++;
}

static bool take(struct reader *r, char c)
{
	skip_blanks(r);
	if (r->at >= r->end || *r->at != c)
		return false;
	r->at++;
	return true;
}

static bool take_word(struct reader *r, const char *word)
{
	size_t length = strlen(word);

	if ((size_t)(r->end - r->at) < length || memcmp(r->at, word, length) != 0)
		return false;
	r->at += length;
	return true;
}

static struct json *add(enum kind kind, const char *key)
{
	if (used == MAX_NODES)
		return NULL;
	nodes[used] = (struct json){.kind = kind, .key = key};
	return &nodes[used++];
}

/* Four hexadecimal digits, or -1. */
static long hex4(struct reader *r)
{
	long value = 0;

	if (r->end - r->at < 4)
		return -1;
	for (int i = 0; i < 4; i++) {
		char c = *r->at++;
		int digit;

		if (c >= '0' && c <= '9')
			digit = c - '0';
		else if ((c | 32) >= 'a' && (c | 32) <= 'f')
			digit = (c | 32) - 'a' + 10;
		else
			return -1;
		value = value * 16 + digit;
	}
	return value;
}

static char *put_utf8(char *out, unsigned long code)
{
	if (code < 0x80) {
		*out++ = (char)code;
	} else if (code < 0x800) {
		*out++ = (char)(0xc0 | code >> 6);
		*out++ = (char)(0x80 | (code & 0x3f));
	} else if (code < 0x10000) {
		*out++ = (char)(0xe0 | code >> 12);
		*out++ = (char)(0x80 | (code >> 6 & 0x3f));
		*out++ = (char)(0x80 | (code & 0x3f));
	} else {
		*out++ = (char)(0xf0 | code >> 18);
		*out++ = (char)(0x80 | (code >> 12 & 0x3f));
		*out++ = (char)(0x80 | (code >> 6 & 0x3f));
		*out++ = (char)(0x80 | (code & 0x3f));
	}
	return out;
}

/* A \u escape with the second half of its pair; -1 when it is none. */
static long code_point(struct reader *r)
{
	long high = hex4(r), low;

	if (high < 0xd800 || high > 0xdfff)
		return high;
	if (high > 0xdbff || !take_word(r, "\\u"))
		return -1;
	low = hex4(r);
	if (low < 0xdc00 || low > 0xdfff)
		return -1;
	return 0x10000 + ((high - 0xd800) << 10) + (low - 0xdc00);
}

/* A text behind its opening quote; NULL when it does not end well. */
static char *read_text(struct reader *r, size_t *length)
{
	static const char escapes[] = "\"\\/bfnrt", meanings[] = "\"\\/\b\f\n\r\t";
	char *start = r->at, *out = start;

	while (r->at < r->end) {
		char c = *r->at++;
		const char *found;
		long code;

		if (c == '"') {
			*out = '\0';
			*length = (size_t)(out - start);
			return start;
		}
		if ((unsigned char)c < 0x20)
			return NULL;
		if (c != '\\') {
			*out++ = c;
			continue;
		}
		if (r->at >= r->end)
			return NULL;
		c = *r->at++;
		if (c == 'u') {
			code = code_point(r);
			if (code < 0)
				return NULL;
			out = put_utf8(out, (unsigned long)code);
			continue;
		}
		found = c ? strchr(escapes, c) : NULL;
		if (!found)
			return NULL;
		*out++ = meanings[found - escapes];
	}
	return NULL;
}

static const struct json *read_members(struct reader *r, struct json *parent, char end, int depth)
{
	const struct json **last = &parent->first;

	if (take(r, end))
		return parent;
	do {
		const struct json *member;
		char *key = NULL;
		size_t length;

		if (parent->kind == JSON_MAP) {
			if (!take(r, '"'))
				return NULL;
			key = read_text(r, &length);
			if (!key || strlen(key) != length || !take(r, ':'))
				return NULL;
		}
		member = read_value(r, key, depth + 1);
		if (!member)
			return NULL;
		*last = member;
		last = &nodes[member - nodes].next;
	} while (take(r, ','));
	return take(r, end) ? parent : NULL;
}

static const struct json *read_value(struct reader *r, const char *key, int depth)
{
	struct json *node;

	skip_blanks(r);
	if (r->at >= r->end || depth > MAX_DEPTH)
		return NULL;
	switch (*r->at) {
	case '{':
	case '[':
		node = add(*r->at == '{' ? JSON_MAP : JSON_LIST, key);
		r->at++;
		return node ? read_members(r, node, node->kind == JSON_MAP ? '}' : ']', depth) : NULL;
	case '"':
		node = add(JSON_TEXT, key);
		r->at++;
		if (node)
			node->text = read_text(r, &node->length);
		return node && node->text ? node : NULL;
	case 't':
		return take_word(r, "true") ? add(JSON_BOOL, key) : NULL;
	case 'f':
		return take_word(r, "false") ? add(JSON_BOOL, key) : NULL;
	case 'n':
		return take_word(r, "null") ? add(JSON_NULL, key) : NULL;
	default: {
		char *start = r->at;

		while (r->at < r->end && *r->at && strchr("+-.0123456789eE", *r->at))
			r->at++;
		return r->at > start ? add(JSON_NUMBER, key) : NULL;
	}
	}
}

const struct json *json_read(char *text, size_t length)
{
	struct reader r = {text, text + length};
	const struct json *found;

	used = 0;
	found = read_value(&r, NULL, 0);
	skip_blanks(&r);
	return r.at == r.end ? found : NULL;
}

const struct json *json_get(const struct json *map, const char *key)
{
	if (!map || map->kind != JSON_MAP)
		return NULL;
	for (const struct json *member = map->first; member; member = member->next)
		if (strcmp(member->key, key) == 0)
			return member;
	return NULL;
}

const char *json_text(const struct json *map, const char *key)
{
	const struct json *found = json_get(map, key);

	if (!found || found->kind != JSON_TEXT || strlen(found->text) != found->length)
		return NULL;
	return found->text;
}
