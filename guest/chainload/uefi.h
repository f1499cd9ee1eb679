/* What chainload calls of the firmware, laid out as the UEFI specification has it (2.10: 4.3 to 4.5, 7, 8, 9.1). */
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef uint_least16_t char16_t;
typedef size_t status;
typedef void *handle;

#define TOO_SMALL ((status)1 << (sizeof(status) * 8 - 1) | 5)
#define NOT_FOUND ((status)1 << (sizeof(status) * 8 - 1) | 14)
enum { RESET_COLD = 0 };

struct guid {
	uint32_t a;
	uint16_t b, c;
	uint8_t d[8];
};

struct header {
	uint64_t signature;
	uint32_t revision, size, crc, reserved;
};

struct loaded_image {
	uint32_t revision;
	handle parent;
	void *table;
	handle device;
};

struct boot_services {
	struct header header;
	void *before_protocol[16];
	status (*protocol)(handle from, const struct guid *which, void **ret_found);
	void *before_load[5];
	status (*load)(bool by_policy, handle parent, const void *path, const void *data, size_t size, handle *ret_image);
	status (*start)(handle image, size_t *ret_size, char16_t **ret_text);
	void *before_stall[4];
	status (*stall)(size_t microseconds);
	void *before_copy[12];
	void (*copy)(void *to, const void *from, size_t size);
};

struct runtime_services {
	struct header header;
	void *before_get[6];
	status (*get_variable)(const char16_t *name, const struct guid *who, uint32_t *ret_kind, size_t *size, void *ret_data);
	void *before_reset[3];
	void (*reset)(int kind, status why, size_t size, const void *data);
};

struct text_output {
	void *reset;
	status (*print)(struct text_output *self, const char16_t *text);
};

struct system_table {
	struct header header;
	const char16_t *vendor;
	uint32_t revision;
	handle in_handle;
	void *in;
	handle out_handle;
	struct text_output *out;
	handle error_handle;
	void *error;
	const struct runtime_services *runtime;
	const struct boot_services *boot;
};
