#include "../init/text.h"
#include "check.h"

static const struct {
	const char *pattern, *string;
	bool matches;
} globs[] = {
	{"virtio:d00000001v*", "virtio:d00000001v00001AF4", true},
	{"virtio:d00000002v*", "virtio:d00000001v00001AF4", false},
	{"pci:v00008086d*sv*sd*bc06sc*i*", "pci:v00008086d00001237sv00001AF4sd00001100bc06sc00i00", true},
	{"pci:v00008086d*sv*sd*bc07sc*i*", "pci:v00008086d00001237sv00001AF4sd00001100bc06sc00i00", false},
	{"acpi*:PNP0C0C:*", "acpi:PNP0C0C:", true},
	{"acpi*:PNP0C0C:*", "acpi:PNP0C0D:", false},
	{"fs-overlay", "fs_overlay", true},
	{"input:b*v*p*e*-e*0,*1,*k*", "input:b0019v0000p0001e0000-e0,1,k74,ramlsfw", true},
	{"a[0-9]b", "a5b", true},
	{"a[0-9]b", "axb", false},
	{"a[!0-9]b", "axb", true},
	{"a[]x]b", "a]b", true},
	{"a[0-9", "a5", false},
	{"?*", "", false},
	{"*", "", true},
	{"", "", true},
	{"", "x", false},
	{"a*b*c", "aXbYc", true},
	{"a*b*c", "aXbYcZ", false},
	{"****", "anything", true},
};

static const struct {
	const char *text;
	uint64_t max, value;
	bool good;
} numbers[] = {
	{"0", 9, 0, true}, {"9", 9, 9, true}, {"10", 9, 0, false}, {"", 9, 0, false},
	{"-1", 9, 0, false}, {"01", 9, 0, false}, {"1 ", 9, 0, false}, {"+1", 9, 0, false},
	{"18446744073709551615", UINT64_MAX, UINT64_MAX, true},
	{"18446744073709551616", UINT64_MAX, 0, false},
	{"99999999999999999999999999", UINT64_MAX, 0, false},
};

static const struct {
	const char *in, *out;
} strings[] = {
	{"plain", "\"plain\""},
	{"say \"hi\" \\", "\"say \\\"hi\\\" \\\\\""},
	{"tab\tbell\a\x7f", "\"tab\\u0009bell\\u0007\\u007f\""},
	{"\xc3\xa9\xe2\x82\xac\xf0\x9f\x98\x80", "\"\xc3\xa9\xe2\x82\xac\xf0\x9f\x98\x80\""},
	{"\xff\xc3", "\"??\""},
	{"\xc0\xaf \xed\xa0\x80 \xf4\x90\x80\x80", "\"?? ??? ????\""}, /* overlong, surrogate, too far */
};

int main(void)
{
	char small_buffer[8];
	struct text small = text_in(small_buffer, sizeof small_buffer);

	for (size_t i = 0; i < sizeof globs / sizeof globs[0]; i++)
		if (text_matches(globs[i].pattern, globs[i].string) != globs[i].matches) {
			printf("glob %s against %s\n", globs[i].pattern, globs[i].string);
			failures++;
		}
	for (size_t i = 0; i < sizeof numbers / sizeof numbers[0]; i++) {
		uint64_t value = 77;

		CHECK(text_number(numbers[i].text, numbers[i].max, &value) == numbers[i].good);
		CHECK(value == (numbers[i].good ? numbers[i].value : 77));
	}
	for (size_t i = 0; i < sizeof strings / sizeof strings[0]; i++) {
		TEXT(json, 128);

		text_add_json(&json, strings[i].in, 100);
		CHECK_TEXT(json.data, strings[i].out);
	}
	text_join(&small, "abc", "def", "ghi", NULL);
	CHECK_TEXT(small.data, "abcdefg");
	CHECK(small.cut && small.length == 7);
	small = text_in(small_buffer, sizeof small_buffer);
	text_add_number(&small, -42);
	CHECK_TEXT(small.data, "-42");
	CHECK(!small.cut);
	{
		TEXT(limited, 64);

		text_add_json(&limited, "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa", 20);
		CHECK(limited.length <= 20 && limited.data[limited.length - 1] == '"' && !limited.cut);
	}
	CHECK(text_same_module("virtio-net", "virtio_net") && !text_same_module("virtio", "virtio_net"));
	DONE();
}
