/* The first program of a disk that can be updated: starts systemd-boot, and is there when that comes back.
 *
 * systemd-boot counts a try of the version it chooses and, when firmware does not load that, returns; most
 * firmware then waits for a key.  So when a try was counted, the machine starts anew: after the last try the
 * version before starts, with nobody there.  What is not counted is left to the firmware: it may have other
 * disks, and restarting could go on for ever.  Firmware checks the signature of what is loaded here too.
 */
#include "uefi.h"

#define LOADER u"\\EFI\\systemd\\systemd-boot" SUFFIX u".efi"
#ifdef __aarch64__
#define SUFFIX u"aa64"
#else
#define SUFFIX u"x64"
#endif

enum { PAUSE_US = 3000000, PATH_BYTES = 2048 };

static const struct guid loaded_image = {0x5b1b31a1, 0x9562, 0x11d2, {0x8e, 0x3f, 0, 0xa0, 0xc9, 0x69, 0x72, 0x3b}};
static const struct guid device_path = {0x09576e91, 0x6d3f, 0x11d2, {0x8e, 0x39, 0, 0xa0, 0xc9, 0x69, 0x72, 0x3b}};
static const struct guid loader_vars = {0x4a67b082, 0x0a4c, 0x41cf, {0xb6, 0xc7, 0x44, 0x0b, 0x29, 0xbb, 0x8c, 0x4f}};

static _Alignas(8) uint8_t path[PATH_BYTES];

static size_t node_size(const uint8_t *node) {
	return (size_t)(node[2] | node[3] << 8);
}

/* The path of the loader: that of the device it lies on, a node with its name, the end (UEFI, 10.3). */
static bool make_path(const struct boot_services *boot, const uint8_t *device) {
	static const char16_t name[] = LOADER;
	size_t used = 0;
	while (device[used] != 0x7f && node_size(device + used) >= 4) {
		used += node_size(device + used);
		if (used + 4 + sizeof(name) + 4 > PATH_BYTES)
			return false;
	}
	const size_t size = 4 + sizeof(name);
	const uint8_t head[4] = {4, 4, (uint8_t)size, (uint8_t)(size >> 8)};
	const uint8_t end[4] = {0x7f, 0xff, 4, 0};
	boot->copy(path, device, used);
	boot->copy(path + used, head, sizeof(head));
	boot->copy(path + used + sizeof(head), name, sizeof(name));
	boot->copy(path + used + size, end, sizeof(end));
	return true;
}

static status start(handle self, const struct boot_services *boot) {
	struct loaded_image *me;
	void *device;
	handle child;
	status failed = boot->protocol(self, &loaded_image, (void **)&me);
	if (!failed)
		failed = boot->protocol(me->device, &device_path, &device);
	if (failed)
		return failed;
	if (!make_path(boot, device))
		return NOT_FOUND;
	failed = boot->load(false, self, path, NULL, 0, &child);
	return failed ? failed : boot->start(child, NULL, NULL);
}

/* Whether systemd-boot has counted a try: it tells what it renamed (systemd-boot(7), LoaderBootCountPath). */
static bool counted(const struct runtime_services *runtime) {
	size_t size = 0;
	return runtime->get_variable(u"LoaderBootCountPath", &loader_vars, NULL, &size, NULL) == TOO_SMALL;
}

status EfiMain(handle self, const struct system_table *table);

status EfiMain(handle self, const struct system_table *table) {
	const status result = start(self, table->boot);
	if (!counted(table->runtime))
		return result;
	table->out->print(table->out, u"\r\nlinuxkit: this version did not start; restarting\r\n");
	table->boot->stall(PAUSE_US);
	table->runtime->reset(RESET_COLD, 0, 0, NULL);
	return result;
}
