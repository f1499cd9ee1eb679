#include "../init/log.h"

#include "../init/console.h"
#include "../init/program.h"
#include "../init/sys.h"
#include "check.h"
#include "fake_sys.h"

static const char data[] = "linuxkit-boot-table\0" "1\0" "1 log-ring\0" "256\0" "1 log-file\0" "100\0"
	"1 console-rate\0" "50\0" "2 unit\0services\0web\0" "1 pidfile\0/run/web.pid\0"
	"1 log\0/var/log/web.log\0" "0 start\0" "2 mkdir\0/a/b\0" "0750\0" "2 device\0/dev/x\0" "0666\0"
	"5 mount\0src\0/t\0tmpfs\0" "5\0size=1\0" "5 mount\0\0/t\0\0" "262144\0\0" "3 exec\0/bin/x\0-a\0b\0"
	"2 bind-ns\0net\0/run/netns/web\0" "4 link\0eth1\0\0\0container\0" "1 exec\0/bin/y\0" "0 clean\0" "1 umount\0/t\0" "0 end\0";
static struct unit units[MAX_UNITS];
static struct table table;

static int begin(void)
{
	TEXT(error, 64);

	fake_reset();
	fake_text("/console", "");
	console_open("/console", 1);
	CHECK(table_read(&table, data, sizeof data - 1, units, &error));
	CHECK(log_setup(&table, 0, 0));
	return log_open(0);
}

static void say(int fd, const char *text) { (void)sys_write(fd, text, strlen(text)); }

static void shows_whole_lines(void)
{
	int fd = begin();

	say(fd, "half a li");
	log_read(0, 0);
	CHECK_TEXT(fake_content("/console"), "");
	say(fd, "ne\r\nand\x1b[2J\n");
	log_read(0, 0);
	say(fd, "no end");
	log_close(0, 0);
	CHECK_TEXT(fake_content("/console"), "[web] half a line\r\n[web] and?[2J\r\n[web] no end\r\n");
	CHECK_TEXT(fake_content("/var/log/web.log"), "half a line\r\nand\x1b[2J\nno end");
}

static void keeps_the_last_part(void)
{
	TEXT(last, 100);
	int fd = begin();

	for (int i = 0; i < 100; i++)
		say(fd, "0123456789\n");
	say(fd, "the end\n\n");
	log_read(0, 0);
	log_last_line(0, &last);
	CHECK_TEXT(last.data, "the end");
	log_show(0);
	CHECK(strstr(fake_content("/console"), "    | 0123456789\r\n    | the end\r\n"));
}

static void files_are_bounded(void)
{
	int fd = begin();

	for (int i = 0; i < 50; i++) {
		say(fd, "0123456789\n");
		log_read(0, 0);
	}
	CHECK(strlen(fake_content("/var/log/web.log")) <= 100);
	CHECK(strlen(fake_content("/var/log/web.log.1")) <= 100);
	CHECK(strlen(fake_content("/var/log/web.log.1")) > 80);
}

static void the_console_has_a_rate(void)
{
	int fd = begin();
	size_t shown;

	for (int i = 0; i < 100; i++) /* 50 bytes a second, four seconds of it at once */
		say(fd, "0123456789\n");
	log_read(0, 0);
	shown = strlen(fake_content("/console"));
	CHECK(shown == 18 * strlen("[web] 0123456789\r\n"));
	log_read(0, 0);
	say(fd, "later\n");
	log_read(0, 1000);
	CHECK_TEXT(fake_content("/console") + shown, "[web] (lines not shown here: 82)\r\n[web] later\r\n");
}

static void programs_do_their_steps(void)
{
	size_t at;

	(void)begin();
	at = units[0].start;
	fake.next_pid = 0; /* from here on we are the child */
	if (!setjmp(fake.child_over))
		(void)program_begin(&table, &units[0], &at, 9);
	CHECK(fake_did("mkdir /a/b 750") && fake_did("chmod /dev/x 666") && fake_did("mount src /t tmpfs 5 size=1"));
	CHECK(fake_did("mount - /t - 262144 -") && fake_did("exec /bin/x -a b"));
	CHECK(!strstr(fake.trace, "/bin/y") && fake_did("exit 127"));
	CHECK(strstr(fake.trace, "write 2: cannot start /bin/x: "));
}

static void later_steps_need_the_process(void)
{
	size_t at;

	(void)begin();
	at = units[0].start;
	CHECK(program_begin(&table, &units[0], &at, 9) == 100); /* up to the first exec */
	fake.next_pid = 0;
	fake.trace[0] = '\0';
	if (!setjmp(fake.child_over))
		(void)program_begin(&table, &units[0], &at, 9);
	CHECK(fake_did("exit 126") && strstr(fake.trace, "cannot keep a namespace at /run/netns/web"));
	fake_text("/run/web.pid", "77\n");
	fake.trace[0] = '\0';
	if (!setjmp(fake.child_over))
		(void)program_begin(&table, &units[0], &at, 9);
	CHECK(fake_did("routes 19 52")); /* RTM_SETLINK: two heads, "eth1" and the pid */
	CHECK(fake_did("mount /proc/77/ns/net /run/netns/web - 4096 -") && fake_did("exec /bin/y"));
}

/* A card may still come; what takes the name in the machine does not go away by itself. */
static void an_interface_is_waited_for(void)
{
	size_t at;
	int64_t begun;

	(void)begin();
	at = units[0].start;
	(void)program_begin(&table, &units[0], &at, 9);
	fake_text("/run/web.pid", "77");
	fake.next_pid = 0;
	fake.routes_error = -19;
	fake.trace[0] = '\0';
	begun = fake.now;
	if (!setjmp(fake.child_over))
		(void)program_begin(&table, &units[0], &at, 9);
	CHECK(fake_did("join /proc/77/ns/net") && fake_did("join /proc/1/ns/net"));
	CHECK(strstr(fake.trace, "cannot give the interface eth1: No such device") && fake_did("exit 126"));
	CHECK(fake.now - begun == 10000);
}

static void a_failing_mount_ends_it(void)
{
	size_t at;

	(void)begin();
	at = units[0].start;
	fake.next_pid = 0;
	fake.mount_error = -19;
	if (!setjmp(fake.child_over))
		(void)program_begin(&table, &units[0], &at, 9);
	CHECK(fake_did("exit 126") && !strstr(fake.trace, "exec"));
	CHECK(strstr(fake.trace, "write 2: cannot mount /t: No such device"));
}

static void cleaning_needs_no_exec(void)
{
	size_t at;

	(void)begin();
	at = units[0].clean;
	fake.next_pid = 0;
	if (!setjmp(fake.child_over))
		(void)program_begin(&table, &units[0], &at, 9);
	CHECK(fake_did("umount /t 2") && fake_did("exit 0"));
	fake.next_pid = 5;
	at = units[0].clean;
	CHECK(program_begin(&table, &units[0], &at, 9) == 5);
	CHECK(program_begin(&table, &units[0], &at, 9) == 0); /* nothing is left */
}

static void pid_files_are_untrusted(void)
{
	static const struct {
		const char *text;
		int pid, inside;
	} cases[] = {{"42", 42, 42}, {"42\n", 42, 42}, {"42 43", 42, 43}, {"42 43\n", 42, 43}, {"", 0, 0},
		     {"0", 0, 0}, {"1", 0, 0}, {"-1", 0, 0}, {"x", 0, 0}, {"4194305", 0, 0}, {"42 1", 0, 0},
		     {"42 x", 0, 0}, {" 42", 0, 0}, {"42 43 44", 0, 0},
		      {"99999999999999999999999999999999999999", 0, 0}};
	int inside = 0;

	(void)begin();
	CHECK(program_read_pid(&units[0], &inside) == 0);
	for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
		fake_text("/run/web.pid", cases[i].text);
		CHECK(program_read_pid(&units[0], &inside) == cases[i].pid);
		CHECK(!cases[i].pid || inside == cases[i].inside);
	}
}

int main(void)
{
	shows_whole_lines();
	keeps_the_last_part();
	files_are_bounded();
	the_console_has_a_rate();
	programs_do_their_steps();
	later_steps_need_the_process();
	an_interface_is_waited_for();
	a_failing_mount_ends_it();
	cleaning_needs_no_exec();
	pid_files_are_untrusted();
	DONE();
}
