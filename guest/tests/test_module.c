#include "../init/module.h"
#include "../init/device.h"
#include "check.h"
#include "fake_sys.h"

#define M "/lib/modules/6.12/"

static void machine(void)
{
	fake_reset();
	fake_text(M "modules.dep",
		  "kernel/net/virtio_net.ko: kernel/net/net_failover.ko kernel/net/failover.ko\n"
		  "kernel/net/net_failover.ko: kernel/net/failover.ko\n"
		  "kernel/net/failover.ko:\n"
		  "kernel/fs/ext4.ko.xz: kernel/fs/jbd2.ko.xz\n"
		  "kernel/fs/jbd2.ko.xz:\n"
		  "kernel/lib/crc32c-generic.ko:\n"
		  "kernel/a.ko: kernel/b.ko\n"
		  "kernel/b.ko: kernel/a.ko\n"
		  "kernel/gone.ko:\n");
	fake_text(M "modules.alias",
		  "# comment\n"
		  "alias virtio:d00000001v* virtio_net\n"
		  "alias fs-ext4 ext4\n"
		  "alias crypto-crc32c crc32c_generic\n");
	fake_text(M "modules.softdep", "softdep ext4 pre: crypto-crc32c nothing post: later\n");
	for (const char *const *s = (const char *const[]){"net/virtio_net.ko", "net/net_failover.ko",
		 "net/failover.ko", "fs/ext4.ko.xz", "fs/jbd2.ko.xz", "lib/crc32c-generic.ko", "a.ko",
		 "b.ko", NULL}; *s; s++) {
		char path[128];

		snprintf(path, sizeof path, M "kernel/%s", *s);
		fake_text(path, "ELF");
	}
}

static int probe(const char *name)
{
	char program[] = "modprobe", quiet[] = "-q", dashes[] = "--", word[64];
	char *argv[] = {program, quiet, dashes, word, NULL};

	snprintf(word, sizeof word, "%s", name);
	return module_main(argv);
}

static void loads_what_it_needs_first(void)
{
	machine();
	CHECK(probe("virtio-net") == 0);
	CHECK_TEXT(fake.trace, "load " M "kernel/net/failover.ko\n"
		   "load " M "kernel/net/failover.ko\nload " M "kernel/net/net_failover.ko\n"
		   "load " M "kernel/net/virtio_net.ko\n");
}

static void knows_what_is_loaded(void)
{
	machine();
	fake_text("/sys/module/failover/initstate", "live\n");
	fake_text("/sys/module/net_failover/initstate", "live\n");
	CHECK(probe("virtio_net") == 0);
	CHECK_TEXT(fake.trace, "load " M "kernel/net/virtio_net.ko\n");
	/* another loads it just now: asking for it too waits until it is of use */
	fake_text("/sys/module/virtio_net/initstate", "coming\n");
	fake.trace[0] = '\0';
	CHECK(probe("virtio_net") == 0);
	CHECK_TEXT(fake.trace, "load " M "kernel/net/virtio_net.ko\n");
	fake_text("/sys/module/virtio_net/initstate", "live\n");
	fake.trace[0] = '\0';
	CHECK(probe("virtio_net") == 0 && probe("virtio:d00000001v00001AF4") == 0);
	CHECK_TEXT(fake.trace, "");
}

static void loads_by_alias_with_softdeps(void)
{
	machine();
	CHECK(probe("fs-ext4") == 0);
	CHECK_TEXT(fake.trace, "load " M "kernel/lib/crc32c-generic.ko\n"
		   "load " M "kernel/fs/jbd2.ko.xz compressed\nload " M "kernel/fs/ext4.ko.xz compressed\n");
}

static void fails_in_order(void)
{
	char program[] = "/sbin/modprobe", word[] = "no-such";
	char *argv[] = {program, word, NULL};

	machine();
	CHECK(probe("no-such") == 1);
	CHECK_TEXT(fake.trace, "");
	CHECK(module_main(argv) == 1);
	CHECK(strstr(fake.trace, "modprobe: no-such: ") != NULL);
	CHECK(probe("gone") == 1); /* in the index, but not there */
	CHECK(probe("a") == 1);    /* a circle */
	fake_reset();
	CHECK(probe("virtio_net") == 1); /* no modules at all */
}

static void cold_plugs(void)
{
	machine();
	fake_text("/sys/bus/virtio/devices/virtio0/modalias", "virtio:d00000001v00001AF4\n");
	fake_text("/sys/bus/virtio/devices/virtio1/modalias", "virtio:d00000001v00001AF4\n");
	fake_text("/sys/bus/virtio/devices/virtio2/modalias", "fs-ext4\n");
	fake_text("/sys/bus/virtio/devices/virtio2/driver/x", "has one already");
	fake_text("/sys/bus/pci/devices/0/modalias", "pci:v00008086d00001237");
	CHECK(device_cold_plug() == 0);
	CHECK(fake_did("load " M "kernel/net/virtio_net.ko"));
	CHECK(!strstr(fake.trace, "ext4"));
	fake_reset();
	CHECK(device_cold_plug() == 0); /* a kernel without modules */
}

int main(void)
{
	loads_what_it_needs_first();
	knows_what_is_loaded();
	loads_by_alias_with_softdeps();
	fails_in_order();
	cold_plugs();
	DONE();
}
