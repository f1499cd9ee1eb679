/* A small reader of gzip.  A bit is read at a time: the texts are small, and so is this. */
#include "gunzip.h"

#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "http.h"

#define MAX_BITS 15 /* of one code */
#define LITERALS 288
#define DISTANCES 32
#define END 256 /* the symbol behind a block's last one */

enum flag { HEAD_CHECK = 2, EXTRA = 4, NAME = 8, COMMENT = 16, RESERVED = 0xe0 };

struct stream {
	const unsigned char *data;
	size_t length, at;
	unsigned bits, held; /* of the byte before `at`, those not taken yet */
	bool bad;            /* it is over too early, or says what cannot be */
	unsigned char *text;
	size_t size; /* of the text so far */
};

/* A canonical code: how many symbols have each length, and the symbols in the order of their codes. */
struct code {
	uint16_t counts[MAX_BITS + 1];
	uint16_t symbols[LITERALS];
};

static unsigned byte(struct stream *s)
{
	if (s->at == s->length) {
		s->bad = true;
		return 0;
	}
	return s->data[s->at++];
}

/* A number of so many bits, at most 16, the lowest first. */
static unsigned number(struct stream *s, unsigned count)
{
	unsigned value = 0;

	for (unsigned i = 0; i < count; i++) {
		if (!s->held) {
			s->bits = byte(s);
			s->held = 8;
		}
		value |= (s->bits & 1) << i;
		s->bits >>= 1;
		s->held--;
	}
	return value;
}

static void put(struct stream *s, unsigned char value)
{
	if (s->size == MAX_BODY)
		s->bad = true;
	else
		s->text[s->size++] = value;
}

/* Makes a code of the lengths of its symbols' codes, 0 for a symbol that does not occur. */
static void make_code(struct stream *s, struct code *code, const uint8_t *lengths, unsigned count)
{
	uint16_t places[MAX_BITS + 2] = {0};
	int free_codes = 1;

	memset(code, 0, sizeof *code);
	for (unsigned i = 0; i < count; i++)
		code->counts[lengths[i]]++;
	code->counts[0] = 0;
	for (unsigned bits = 1; bits <= MAX_BITS; bits++) {
		free_codes = free_codes * 2 - code->counts[bits];
		if (free_codes < 0) { /* there are not so many codes */
			s->bad = true;
			return;
		}
		places[bits + 1] = (uint16_t)(places[bits] + code->counts[bits]);
	}
	/* codes that nobody has are allowed where there is at most one symbol, of one bit */
	if (free_codes && (places[MAX_BITS + 1] > 1 || code->counts[1] != places[MAX_BITS + 1]))
		s->bad = true;
	for (unsigned i = 0; i < count; i++)
		if (lengths[i])
			code->symbols[places[lengths[i]]++] = (uint16_t)i;
}

static unsigned symbol(struct stream *s, const struct code *code)
{
	unsigned value = 0, first = 0, index = 0; /* the first code of this length, and its symbol's place */

	for (unsigned bits = 1; bits <= MAX_BITS && !s->bad; bits++) {
		value = value << 1 | number(s, 1);
		if (value - first < code->counts[bits])
			return code->symbols[index + value - first];
		index += code->counts[bits];
		first = (first + code->counts[bits]) << 1;
	}
	s->bad = true;
	return END;
}

/* Lengths from 3 and distances from 1, each with bits that follow (RFC 1951, 3.2.5). */
static const uint16_t length_bases[] = {3, 4, 5, 6, 7, 8, 9, 10, 11, 13, 15, 17, 19, 23, 27, 31, 35, 43, 51, 59,
					67, 83, 99, 115, 131, 163, 195, 227, 258};
static const uint8_t length_bits[] = {0, 0, 0, 0, 0, 0, 0, 0, 1, 1, 1, 1, 2, 2, 2, 2, 3, 3, 3, 3, 4, 4, 4, 4, 5, 5,
				      5, 5, 0};
static const uint16_t distance_bases[] = {1, 2, 3, 4, 5, 7, 9, 13, 17, 25, 33, 49, 65, 97, 129, 193, 257, 385, 513,
					  769, 1025, 1537, 2049, 3073, 4097, 6145, 8193, 12289, 16385, 24577};
#define COUNT(list) (sizeof(list) / sizeof((list)[0]))

static void copy_back(struct stream *s, unsigned kind, const struct code *distances)
{
	unsigned length, distance, far;

	if (kind >= COUNT(length_bases)) {
		s->bad = true;
		return;
	}
	length = length_bases[kind] + number(s, length_bits[kind]);
	far = symbol(s, distances);
	if (s->bad || far >= COUNT(distance_bases)) {
		s->bad = true;
		return;
	}
	distance = distance_bases[far] + number(s, far < 2 ? 0 : far / 2 - 1);
	if (distance > s->size)
		s->bad = true;
	while (length-- && !s->bad)
		put(s, s->text[s->size - distance]);
}

static void read_symbols(struct stream *s, const struct code *literals, const struct code *distances)
{
	while (!s->bad) {
		unsigned found = symbol(s, literals);

		if (found == END)
			return;
		if (found < END)
			put(s, (unsigned char)found);
		else
			copy_back(s, found - END - 1, distances);
	}
}

static void read_stored(struct stream *s)
{
	unsigned length, inverse;

	s->held = 0; /* it begins at a byte */
	length = number(s, 16);
	inverse = number(s, 16);
	if (length != (~inverse & 0xffff))
		s->bad = true;
	while (length-- && !s->bad)
		put(s, (unsigned char)byte(s));
}

static void read_fixed(struct stream *s)
{
	static struct code literals, distances;
	uint8_t lengths[LITERALS];

	for (unsigned i = 0; i < LITERALS; i++)
		lengths[i] = i < 144 ? 8 : i < 256 ? 9 : i < 280 ? 7 : 8;
	make_code(s, &literals, lengths, LITERALS);
	memset(lengths, 5, DISTANCES);
	make_code(s, &distances, lengths, DISTANCES);
	read_symbols(s, &literals, &distances);
}

/* The lengths of both codes, one after the other, which are coded themselves. */
static void read_lengths(struct stream *s, const struct code *code, uint8_t *lengths, unsigned count)
{
	for (unsigned at = 0; at < count && !s->bad;) {
		unsigned found = symbol(s, code), times = 1;
		uint8_t value = found < 16 ? (uint8_t)found : 0;

		if (found == 16 && at == 0)
			s->bad = true;
		else if (found == 16)
			value = lengths[at - 1];
		if (found >= 16)
			times = found == 16 ? 3 + number(s, 2) : found == 17 ? 3 + number(s, 3) : 11 + number(s, 7);
		if (times > count - at)
			s->bad = true;
		while (times-- && !s->bad)
			lengths[at++] = value;
	}
}

static void read_dynamic(struct stream *s)
{
	static const uint8_t order[] = {16, 17, 18, 0, 8, 7, 9, 6, 10, 5, 11, 4, 12, 3, 13, 2, 14, 1, 15};
	static struct code literals, distances;
	uint8_t lengths[LITERALS + DISTANCES] = {0}, own[COUNT(order)] = {0};
	unsigned many = 257 + number(s, 5), far = 1 + number(s, 5), count = 4 + number(s, 4);

	if (many > 286 || far > COUNT(distance_bases)) {
		s->bad = true;
		return;
	}
	for (unsigned i = 0; i < count; i++)
		own[order[i]] = (uint8_t)number(s, 3);
	make_code(s, &literals, own, COUNT(own));
	read_lengths(s, &literals, lengths, many + far);
	if (!lengths[END])
		s->bad = true;
	if (s->bad)
		return;
	make_code(s, &literals, lengths, many);
	make_code(s, &distances, lengths + many, far);
	read_symbols(s, &literals, &distances);
}

static void inflate(struct stream *s)
{
	bool last = false;

	s->held = 0;
	while (!last && !s->bad) {
		last = number(s, 1);
		switch (number(s, 2)) {
		case 0:
			read_stored(s);
			break;
		case 1:
			read_fixed(s);
			break;
		case 2:
			read_dynamic(s);
			break;
		default:
			s->bad = true;
		}
	}
	s->held = 0;
}

static void skip_text(struct stream *s)
{
	while (byte(s) && !s->bad)
		;
}

static void read_head(struct stream *s)
{
	unsigned flags, extra;

	if (byte(s) != 0x1f || byte(s) != 0x8b || byte(s) != 8)
		s->bad = true;
	flags = byte(s);
	if (flags & RESERVED)
		s->bad = true;
	for (int i = 0; i < 6; i++) /* the time, and by whom it was made */
		(void)byte(s);
	s->held = 0;
	for (extra = flags & EXTRA ? number(s, 16) : 0; extra && !s->bad; extra--)
		(void)byte(s);
	if (flags & NAME)
		skip_text(s);
	if (flags & COMMENT)
		skip_text(s);
	if (flags & HEAD_CHECK)
		(void)number(s, 16);
}

static uint32_t checksum(const unsigned char *text, size_t size)
{
	uint32_t sum = ~0U;

	for (size_t i = 0; i < size; i++) {
		sum ^= text[i];
		for (int bit = 0; bit < 8; bit++)
			sum = sum >> 1 ^ (sum & 1 ? 0xedb88320U : 0);
	}
	return ~sum;
}

static uint32_t word(struct stream *s)
{
	uint32_t low = number(s, 16);

	return low | (uint32_t)number(s, 16) << 16;
}

char *gunzip(const void *data, size_t length, size_t *ret_length)
{
	struct stream s = {.data = data, .length = length, .text = malloc(MAX_BODY + 1)};

	if (!s.text)
		return NULL;
	do { /* there may be several, one after the other */
		size_t begin = s.size;

		read_head(&s);
		if (!s.bad)
			inflate(&s);
		if (word(&s) != checksum(s.text + begin, s.size - begin) || word(&s) != s.size - begin)
			s.bad = true;
	} while (!s.bad && s.at < s.length);
	if (s.bad) {
		free(s.text);
		return NULL;
	}
	s.text[s.size] = '\0';
	*ret_length = s.size;
	return (char *)s.text;
}
