/* Bounded text, numbers, JSON strings and shell patterns; no system calls. */
#include "text.h"

#include <stdarg.h>
#include <string.h>

struct text text_in(char *buffer, size_t size)
{
	buffer[0] = '\0';
	return (struct text){.data = buffer, .size = size};
}

void text_add_bytes(struct text *text, const char *bytes, size_t length)
{
	size_t room = text->size - 1 - text->length;

	if (length > room) {
		length = room;
		text->cut = true;
	}
	memcpy(text->data + text->length, bytes, length);
	text->length += length;
	text->data[text->length] = '\0';
}

void text_add(struct text *text, const char *string)
{
	text_add_bytes(text, string, strlen(string));
}

void text_add_number(struct text *text, int64_t number)
{
	char digits[24];
	size_t at = sizeof digits;
	uint64_t rest = number < 0 ? 0 - (uint64_t)number : (uint64_t)number;

	do {
		digits[--at] = (char)('0' + rest % 10);
		rest /= 10;
	} while (rest);
	if (number < 0)
		digits[--at] = '-';
	text_add_bytes(text, digits + at, sizeof digits - at);
}

void text_join(struct text *text, ...)
{
	va_list list;

	va_start(list, text);
	for (const char *s = va_arg(list, const char *); s; s = va_arg(list, const char *))
		text_add(text, s);
	va_end(list);
}

/* The length of the UTF-8 character at s (RFC 3629), or 0 when it is none. */
static size_t utf8_length(const unsigned char *s)
{
	size_t length = s[0] < 0x80 ? 1 : s[0] >= 0xc2 && s[0] < 0xe0 ? 2 : (s[0] & 0xf0) == 0xe0 ? 3
			: s[0] >= 0xf0 && s[0] < 0xf5 ? 4 : 0;

	for (size_t i = 1; i < length; i++)
		if ((s[i] & 0xc0) != 0x80)
			return 0; /* the terminating NUL ends up here, too */
	if ((s[0] == 0xe0 && s[1] < 0xa0) || (s[0] == 0xed && s[1] > 0x9f) ||
	    (s[0] == 0xf0 && s[1] < 0x90) || (s[0] == 0xf4 && s[1] > 0x8f))
		return 0; /* overlong, a surrogate, or beyond U+10FFFF */
	return length;
}

void text_add_json(struct text *text, const char *string, size_t limit)
{
	static const char hex[] = "0123456789abcdef";
	const unsigned char *s = (const unsigned char *)string;
	size_t end = text->length + limit;

	text_add(text, "\"");
	while (*s) {
		size_t length = utf8_length(s);
		char escaped[7] = "\\u00";

		if (text->length + 8 > end)
			break;
		if (*s == '"' || *s == '\\') {
			text_add_bytes(text, (char[]){'\\', (char)*s}, 2);
		} else if (*s < 0x20 || *s == 0x7f) {
			escaped[4] = hex[*s >> 4];
			escaped[5] = hex[*s & 15];
			text_add_bytes(text, escaped, 6);
		} else if (length) {
			text_add_bytes(text, (const char *)s, length);
		} else {
			text_add(text, "?");
		}
		s += length ? length : 1;
	}
	text_add(text, "\"");
}

bool text_number(const char *string, uint64_t max, uint64_t *ret)
{
	uint64_t number = 0;

	if (!*string || (string[0] == '0' && string[1]))
		return false;
	for (const char *s = string; *s; s++) {
		uint64_t digit = (uint64_t)(unsigned char)*s - '0';

		if (*s < '0' || *s > '9' || number > (UINT64_MAX - digit) / 10)
			return false;
		number = number * 10 + digit;
	}
	if (number > max)
		return false;
	*ret = number;
	return true;
}

static bool same(char a, char b)
{
	return (a == '-' ? '_' : a) == (b == '-' ? '_' : b);
}

bool text_same_module(const char *a, const char *b)
{
	while (*a && same(*a, *b))
		a++, b++;
	return !*a && !*b;
}

/* Matches one character against the set after '['; returns the rest of the pattern, or NULL. */
static const char *match_set(const char *set, char c)
{
	bool wanted = *set != '!' && *set != '^';
	bool found = false;

	if (!wanted)
		set++;
	for (const char *first = set; *set && (*set != ']' || set == first); set++) {
		if (set[1] == '-' && set[2] && set[2] != ']') {
			found |= c >= set[0] && c <= set[2];
			set += 2;
		} else {
			found |= c == *set;
		}
	}
	return *set && found == wanted ? set + 1 : NULL;
}

bool text_matches(const char *pattern, const char *string)
{
	const char *star = NULL, *retry = NULL;

	while (*string) {
		const char *next = NULL;

		if (*pattern == '*') {
			star = ++pattern;
			retry = string;
			continue;
		}
		if (*pattern == '[')
			next = match_set(pattern + 1, *string);
		else if (*pattern && (*pattern == '?' || same(*pattern, *string)))
			next = pattern + 1;
		if (next) {
			pattern = next;
			string++;
		} else if (star) {
			pattern = star;
			string = ++retry;
		} else {
			return false;
		}
	}
	while (*pattern == '*')
		pattern++;
	return !*pattern;
}
