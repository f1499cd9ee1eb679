/* The first and the last steps of a machine, and its name. */
#include "../init/console.h"
#include "../init/early.h"
#include "../init/host.h"
#include "../init/notify.h"
#include "../init/stop.h"
#include "../init/watchdog.h"
#include "check.h"
#include "fake_sys.h"

static const char *where(const char *line) { return strstr(fake.trace, line); }

static void takes_the_root_first(void)
{
	fake_reset();
	fake_text("/sys/fs/cgroup/cgroup.controllers", "cpu memory pids\n");
	fake_text("/sys/fs/cgroup/cgroup.subtree_control", "");
	early_machine();
	CHECK(where("mount / /proc - 4096 -\nchdir /proc\nmount . / - 8192 -\nchroot .\n"));
	CHECK(where("chroot .\n") < where("mount proc /proc proc 14 -\n"));
	CHECK(where("mount proc /proc") < where("mount - / - 1064960 -\n")); /* rshared */
	CHECK(where("mount - / - 1064960 -\n") < where("mount - / - 33 -\n")); /* read-only, last */
	CHECK(fake_did("mkdir /run/units 700") && fake_did("symlink /run /var/run"));
	CHECK(where("mount cgroup2 /sys/fs/cgroup cgroup2"));
	CHECK(!where("efivarfs")); /* this kernel has no folder for it */
	CHECK_TEXT(fake_content("/sys/fs/cgroup/cgroup.subtree_control"), "+cpu+memory+pids");
}

static void has_a_name(void)
{
	fake_reset();
	fake.clock = 1700000000;
	host_setup();
	CHECK(fake_did("hostname linuxkit") && fake_did("loopback") && !where("rtc"));
	fake_text("/sys/class/net/lo/type", "772\n");
	fake_text("/sys/class/net/eth1/type", "1\n");
	fake_text("/sys/class/net/eth1/ifindex", "3\n");
	fake_text("/sys/class/net/eth1/address", "52:54:00:aa:bb:cc\n");
	fake_text("/sys/class/net/eth0/type", "1\n");
	fake_text("/sys/class/net/eth0/ifindex", "2\n");
	fake_text("/sys/class/net/eth0/address", "52:54:00:12:34:56\n");
	host_setup();
	CHECK(fake_did("hostname linuxkit-525400123456"));
	fake_text("/etc/hostname", "moby and more\n");
	host_setup();
	CHECK(fake_did("hostname moby"));
	fake.clock = 12;
	host_setup();
	CHECK(fake_did("rtc /dev/rtc0"));
}

static void leaves_disks_clean(void)
{
	fake_reset();
	fake_text("/proc/self/mounts",
		  "rootfs / rootfs rw 0 0\n"
		  "proc /proc proc rw 0 0\n"
		  "tmp /tmp tmpfs rw 0 0\n"
		  "/dev/vda /var/lib/my\\040data ext4 rw 0 0\n"
		  "/dev/vdb /var/lib/my\\040data/deep xfs rw 0 0\n"
		  "overlay /containers/x overlay rw 0 0\n");
	CHECK(stop_unmount(true) == 0);
	CHECK_TEXT(fake.trace, "sync\numount /containers/x 0\numount /var/lib/my data/deep 0\n"
		   "umount /var/lib/my data 0\nmount - / - 33 -\nsync\n");
	fake_reset();
	CHECK(stop_unmount(false) == 0);
	CHECK_TEXT(fake.trace, "sync\n"); /* in a container the mounts are somebody else's */
}

static void feeds_the_watchdog(void)
{
	const struct table table = {.watchdog = "/dev/watchdog", .watchdog_ms = 8000};
	const struct table none = {0};

	fake_reset();
	fake_text("/console", "");
	console_open("/console", 1);
	CHECK(watchdog_feed(&none, 1000) == NEVER);
	CHECK(watchdog_feed(&table, 1000) == 2000); /* its driver is not there yet */
	fake_text("/dev/watchdog", "");
	CHECK(watchdog_feed(&table, 1500) == 2000 && !where("watchdog 8"));
	CHECK(watchdog_feed(&table, 2000) == 4000 && fake_did("watchdog 8"));
	CHECK(watchdog_feed(&table, 3999) == 4000);
	CHECK(watchdog_feed(&table, 4000) == 6000);
	watchdog_release();
	CHECK(memcmp(fake_content("/dev/watchdog"), "\0\0V", 4) == 0);
}

static void hears_who_is_ready(void)
{
	static const struct {
		const char *message;
		bool ready;
	} cases[] = {
		{"READY=1", true}, {"READY=1\n", true}, {"STATUS=x\nREADY=1\nMAINPID=5", true},
		{"", false}, {"READY=0", false}, {"READY=10", false}, {"XREADY=1", false},
		{"STATUS=READY=1", false}, {"READY=1x\n", false}, {"\n\n", false},
	};
	struct unit unit = {.name = "x", .ready = {.kind = PROBE_NOTIFY, .words = "/run/notify/x/socket"}};
	const struct table table = {.unit_count = 1, .units = &unit};

	for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
		fake_reset();
		fake_input("/run/notify/x/socket", cases[i].message);
		notify_setup(&table, 0, 0);
		CHECK(fake_did("mkdir /run/notify/x 755") &&
		      fake_did("listen /run/notify/x/socket for datagrams"));
		if (notify_read(0) != cases[i].ready)
			printf("case %zu\n", i), failures++;
	}
}

int main(void)
{
	takes_the_root_first();
	has_a_name();
	leaves_disks_clean();
	feeds_the_watchdog();
	hears_who_is_ready();
	DONE();
}
