/* Stories of a whole boot on a machine made of tables: what is begun when, and what is said. */
#include "../init/boot.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include "../init/console.h"
#include "../init/log.h"
#include "check.h"
#include "fake_sys.h"

#define END "0 end\0"
#define HEAD "linuxkit-boot-table\0" "1\0" "1 parallel\0" "2\0"
#define POLICY(p) "1 on-failure\0" p "\0"
#define LIMITS "1 grace\0" "1000\0" "1 timeout\0" "5000\0"
#define PROGRAM(name) "1 pidfile\0/run/" name ".pid\0" "0 start\0" "1 exec\0/bin/start\0" \
	"0 clean\0" "1 exec\0/bin/clean\0"
#define ONBOOT(name, policy) "2 unit\0onboot\0" name "\0" POLICY(policy) LIMITS PROGRAM(name)
#define SERVICE(name) "2 unit\0services\0" name "\0" POLICY("continue") LIMITS PROGRAM(name)
#define SHUTDOWN(name) "2 unit\0onshutdown\0" name "\0" POLICY("continue") LIMITS PROGRAM(name)
#define VOLUME(name) "2 unit\0volumes\0" name "\0" POLICY("stop") "0 start\0" "2 mkdir\0/v\0" "0755\0"

static struct boot boot;
static struct unit units[MAX_UNITS];
static int64_t next;

#define BEGIN(table) begin(HEAD table END, sizeof(HEAD table END) - 1)

static void begin(const char *data, size_t size)
{
	TEXT(error, 256);

	fake_reset();
	fake_text("/console", "");
	fake_text("/dev/report", "");
	fake_text("/proc/cmdline", "quiet linuxkit.report=/dev/report x\n");
	boot = (struct boot){.machine = false};
	console_open("/console", 1);
	report_setup(0, 0);
	report_find();
	CHECK(table_read(&boot.table, data, size, units, &error));
	CHECK_TEXT(error.data, "");
	CHECK(log_setup(&boot.table, 0, 0));
	boot_begin(&boot, "");
	next = boot_advance(&boot);
}

static void child(int pid, int status, int signal)
{
	fake_ended(pid, status, signal);
	CHECK(boot_reap(&boot));
	next = boot_advance(&boot);
}

/* The runtime of the unit is through and has left a pid. */
static void started(int runtime, const char *name, const char *pid)
{
	char path[64];

	snprintf(path, sizeof path, "/run/%s.pid", name);
	fake_text(path, pid);
	child(runtime, 0, 0);
}

static const struct unit *unit(const char *name)
{
	for (unsigned i = 0; i < boot.table.unit_count; i++)
		if (strcmp(units[i].name, name) == 0)
			return &units[i];
	abort();
}

static void onboot_comes_in_order(void)
{
	BEGIN(VOLUME("data") ONBOOT("one", "stop") ONBOOT("two", "stop") SERVICE("web"));
	CHECK_TEXT(fake.trace, "fork 100\n"); /* the volume's mounts are a child's work, too */
	child(100, 0, 0);
	CHECK_TEXT(unit_word(unit("data")), "exited");
	CHECK(fake_did("fork 101") && !fake_did("fork 102"));
	started(101, "one", "500");
	CHECK_TEXT(unit_word(unit("one")), "running");
	CHECK(!fake_did("fork 102"));
	child(500, 0, 0);
	CHECK_TEXT(unit_word(unit("one")), "exited");
	CHECK(fake_did("fork 102") && fake_did("fork 103")); /* cleaning, and the next one meanwhile */
	CHECK(unit("two")->state == UNIT_STARTING && unit("web")->state == UNIT_WAITING);
	started(103, "two", "501");
	child(501, 0, 0);
	CHECK(unit("web")->state == UNIT_STARTING && boot.phase == PHASE_SERVICES);
	started(105, "web", "502");
	CHECK(boot.phase == PHASE_UP && unit("web")->state == UNIT_RUNNING);
	CHECK(next < NEVER || unit("two")->state == UNIT_ENDED);
}

static void a_failure_stops_the_boot(void)
{
	BEGIN(ONBOOT("one", "stop") SERVICE("web"));
	started(100, "one", "500");
	child(500, 1, 0);
	CHECK(boot.phase == PHASE_HELD && unit("web")->state == UNIT_WAITING);
	CHECK(strstr(fake_content("/console"), "the boot stops here: onboot/one failed"));
}

static void a_failure_may_be_passed_over(void)
{
	BEGIN(ONBOOT("one", "continue") SERVICE("web"));
	started(100, "one", "500");
	child(500, 1, 0);
	CHECK(boot.phase == PHASE_SERVICES && unit("web")->state == UNIT_STARTING);
}

static void a_failing_runtime_may_reboot(void)
{
	BEGIN(ONBOOT("one", "reboot") SERVICE("web"));
	child(100, 1, 0);
	CHECK(boot.phase == PHASE_STOPPING && boot.action == ACTION_REBOOT);
}

static void a_bad_pid_file_is_a_failure(void)
{
	BEGIN(ONBOOT("one", "poweroff"));
	started(100, "one", "garbage");
	CHECK(boot.phase == PHASE_STOPPING && boot.action == ACTION_POWEROFF);
}

static void onboot_may_take_too_long(void)
{
	BEGIN(ONBOOT("one", "stop"));
	started(100, "one", "500");
	fake.now += 5001;
	next = boot_advance(&boot);
	CHECK(fake_did("kill 500 15"));
	fake.now += 1001;
	next = boot_advance(&boot);
	CHECK(fake_did("kill 500 9"));
	child(500, 0, 9);
	CHECK_TEXT(unit_word(unit("one")), "failed");
	CHECK(boot.phase == PHASE_HELD);
	CHECK(strstr(fake_content("/dev/report"), "\"detail\":\"took too long\""));
}

static void a_held_boot_still_goes_down(void)
{
	BEGIN(ONBOOT("one", "stop") SERVICE("web") SHUTDOWN("bye"));
	child(100, 1, 0);
	child(101, 0, 0); /* cleaned */
	CHECK(boot.phase == PHASE_HELD);
	boot_power(&boot, ACTION_HALT);
	next = boot_advance(&boot);
	CHECK(boot.phase == PHASE_ONSHUTDOWN && unit("web")->state == UNIT_ENDED);
	CHECK(unit("bye")->state == UNIT_STARTING);
}

static void services_start_side_by_side(void)
{
	BEGIN(SERVICE("a") SERVICE("b") SERVICE("c") SERVICE("d"));
	CHECK(fake_did("fork 101") && !fake_did("fork 102")); /* two at a time, the table says */
	started(101, "b", "501");
	CHECK(unit("b")->state == UNIT_RUNNING && unit("c")->state == UNIT_STARTING);
	CHECK(unit("d")->state == UNIT_WAITING);
	child(102, 1, 0);
	CHECK_TEXT(unit_word(unit("c")), "failed");
	CHECK(unit("d")->state == UNIT_STARTING && boot.phase == PHASE_SERVICES);
	started(100, "a", "500");
	started(104, "d", "503");
	CHECK(boot.phase == PHASE_UP);
	CHECK(strstr(fake_content("/dev/report"), "\"state\":\"ready\",\"services\":4,\"failed\":1,"
		     "\"mem_total_kib\":2000,\"mem_available_kib\":1500}"));
}

static void crashes_are_told(void)
{
	BEGIN(SERVICE("web"));
	started(100, "web", "500");
	child(500, 0, 11);
	CHECK(boot.phase == PHASE_UP);
	CHECK(strstr(fake_content("/dev/report"), "\"unit\":\"services/web\",\"state\":\"failed\","
		     "\"signal\":11,\"detail\":\"signal 11\"}"));
	CHECK(strstr(fake_content("/console"), "linuxkit: services/web failed: signal 11"));
}

static void a_quick_end_is_not_lost(void)
{
	BEGIN(SERVICE("web"));
	fake_text("/run/web.pid", "500");
	child(500, 4, 0); /* seen before its runtime's own end */
	CHECK(unit("web")->state == UNIT_STARTING);
	child(100, 0, 0);
	CHECK_TEXT(unit_word(unit("web")), "failed");
	CHECK(unit("web")->status == 4);
}

static void goes_down_in_order(void)
{
	BEGIN(SERVICE("a") SERVICE("deaf") SHUTDOWN("x") SHUTDOWN("y"));
	started(100, "a", "500");
	started(101, "deaf", "501");
	boot_power(&boot, ACTION_REBOOT);
	boot_power(&boot, ACTION_POWEROFF); /* the last word counts */
	next = boot_advance(&boot);
	CHECK(fake_did("kill 500 15") && fake_did("kill 501 15") && next == fake.now + 1000);
	child(500, 143, 0);
	CHECK_TEXT(unit_word(unit("a")), "stopped");
	child(102, 0, 0); /* cleaned */
	CHECK(boot.phase == PHASE_STOPPING && !fake_did("kill 501 9"));
	fake.now += 1000;
	next = boot_advance(&boot);
	CHECK(fake_did("kill 501 9"));
	child(501, 0, 9);
	CHECK(unit("x")->state == UNIT_WAITING);
	child(103, 0, 0);
	CHECK(unit("x")->state == UNIT_STARTING && unit("y")->state == UNIT_WAITING);
	child(104, 1, 0); /* a failure here holds nothing up */
	CHECK(unit("y")->state == UNIT_STARTING);
	child(105, 0, 0);
	started(106, "y", "503");
	child(503, 0, 0);
	CHECK(boot.phase == PHASE_ONSHUTDOWN);
	child(107, 0, 0);
	CHECK(boot.phase == PHASE_TERM && fake_did("kill -1 15"));
	fake.now += 2000;
	next = boot_advance(&boot);
	CHECK(boot.phase == PHASE_KILL && fake_did("kill -1 9"));
	fake.childless = true;
	CHECK(boot_reap(&boot));
	next = boot_advance(&boot);
	CHECK(boot.phase == PHASE_UNMOUNT && fake_did("fork 108"));
	child(108, 0, 0);
	CHECK(boot.phase == PHASE_OVER);
	CHECK(strstr(fake_content("/dev/report"), "\"event\":\"power\",\"action\":\"poweroff\"}"));
}

static void nothing_hangs_for_ever(void)
{
	BEGIN(SERVICE("stuck") SHUTDOWN("x"));
	started(100, "stuck", "500");
	boot_power(&boot, ACTION_REBOOT);
	for (int i = 0; i < 40 && boot.phase != PHASE_OVER; i++) {
		next = boot_advance(&boot);
		CHECK(next < NEVER || boot.phase == PHASE_OVER);
		if (next < NEVER && next > fake.now)
			fake.now = next; /* no child ever ends */
	}
	CHECK(boot.phase == PHASE_OVER);
	CHECK(fake.now < 120000);
}

static void forks_may_fail(void)
{
	BEGIN(ONBOOT("one", "continue") SERVICE("web"));
	fake.fork_error = -EAGAIN;
	child(100, 1, 0);
	CHECK_TEXT(unit_word(unit("web")), "failed");
	CHECK(boot.phase == PHASE_UP);
	boot_power(&boot, ACTION_POWEROFF);
	fake.childless = true;
	for (int i = 0; i < 10 && boot.phase != PHASE_OVER; i++)
		next = boot_advance(&boot);
	CHECK(boot.phase == PHASE_OVER);
}

static void devices_are_looked_at_first(void)
{
	TEXT(error, 64);
	static const char data[] = HEAD SERVICE("web") END;

	BEGIN(SERVICE("web"));
	fake.trace[0] = '\0';
	fake_text("/etc/hostname", "box\n");
	boot = (struct boot){.machine = true};
	CHECK(table_read(&boot.table, data, sizeof data - 1, units, &error));
	boot_begin(&boot, "");
	next = boot_advance(&boot);
	CHECK(boot.phase == PHASE_DEVICES && boot.device_pid == 101);
	boot_new_device(&boot);
	child(101, 0, 0);
	CHECK(boot.device_pid == 102 && boot.phase == PHASE_DEVICES); /* once more */
	fake.now += 30000;
	next = boot_advance(&boot); /* a driver hangs */
	CHECK(fake_did("kill 102 9") && boot.phase == PHASE_SERVICES);
	CHECK(fake_did("hostname box") && fake_did("loopback") && fake_did("rtc /dev/rtc0"));
}

static void no_table_no_boot(void)
{
	BEGIN(SERVICE("web"));
	boot = (struct boot){.machine = true};
	boot_begin(&boot, "unknown record restart");
	next = boot_advance(&boot);
	CHECK(boot.phase == PHASE_HELD && next == NEVER);
	CHECK(strstr(fake_content("/console"), "cannot be used: unknown record restart"));
	CHECK(strstr(fake_content("/dev/report"), "\"state\":\"failed\",\"detail\":\"unknown record"));
	boot_power(&boot, ACTION_POWEROFF);
	fake.childless = true;
	next = boot_advance(&boot);
	CHECK(boot.phase == PHASE_UNMOUNT);
}

#define STORY(function) {#function, function}
static const struct {
	const char *name;
	void (*tell)(void);
} stories[] = {
	STORY(onboot_comes_in_order),
	STORY(a_failure_stops_the_boot),
	STORY(a_failure_may_be_passed_over),
	STORY(a_failing_runtime_may_reboot),
	STORY(a_bad_pid_file_is_a_failure),
	STORY(onboot_may_take_too_long),
	STORY(a_held_boot_still_goes_down),
	STORY(services_start_side_by_side),
	STORY(crashes_are_told),
	STORY(a_quick_end_is_not_lost),
	STORY(goes_down_in_order),
	STORY(nothing_hangs_for_ever),
	STORY(forks_may_fail),
	STORY(devices_are_looked_at_first),
	STORY(no_table_no_boot),
};

/* Each story in a process of its own, as PID 1 has but one life. */
int main(void)
{
	for (size_t i = 0; i < sizeof stories / sizeof stories[0]; i++) {
		int status = 0;

		fflush(stdout);
		if (fork() == 0) {
			stories[i].tell();
			fflush(stdout);
			_exit(failures != 0);
		}
		(void)wait(&status);
		if (status) {
			printf("story %s went wrong\n", stories[i].name);
			failures++;
		}
	}
	DONE();
}
