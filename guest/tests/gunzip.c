/*
 * Answers gunzip on standard output: for each of the cases on standard input, LENGTH and bytes, the
 * length of its text, or -1, and the text.  Numbers are of 4 bytes, as this machine has them.
 */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include "gunzip.h"

int main(void)
{
	uint32_t length;

	while (fread(&length, sizeof length, 1, stdin) == 1) {
		unsigned char *data = malloc(length ? length : 1); /* exact, for the sanitizer to see */
		size_t size = 0;
		char *text = fread(data, 1, length, stdin) == length ? gunzip(data, length, &size) : NULL;
		int32_t said = text ? (int32_t)size : -1;

		fwrite(&said, sizeof said, 1, stdout);
		if (text)
			fwrite(text, 1, size, stdout);
		free(text);
		free(data);
	}
	return 0;
}
