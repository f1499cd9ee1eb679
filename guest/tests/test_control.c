/* What the control socket answers, and that nothing said to it does harm. */
#include "../init/control.h"

#include <stdlib.h>

#include "../init/console.h"
#include "../init/log.h"
#include "../init/session.h"
#include "../init/supervise.h"
#include "../init/sys.h"
#include "check.h"
#include "fake_sys.h"

#define LISTENER 12 /* the number of the socket itself */
#define FIRST 4     /* of the sessions that come through it */

static const char data[] = "linuxkit-boot-table\0" "1\0" "1 log-ring\0" "65536\0"
	"2 unit\0onboot\0" "000-net\0" "0 start\0" "1 exec\0/bin/net\0"
	"2 unit\0services\0web\0" "1 pidfile\0/run/web.pid\0" "4 enter\0/bin/crun\0exec\0\0web\0"
	"0 start\0" "1 exec\0/bin/web\0" "0 clean\0" "1 exec\0/bin/clean\0" "0 end\0";
static struct unit units[MAX_UNITS];
static struct boot boot;

static void begin(void)
{
	TEXT(error, 64);

	fake_reset();
	fake_text("/console", "");
	fake_text("/conn", "");
	boot = (struct boot){.phase = PHASE_UP};
	console_open("/console", 1);
	CHECK(table_read(&boot.table, data, sizeof data - 1, units, &error));
	CHECK(log_setup(&boot.table, 0, 0));
	control_setup(&boot, 0, 0);
	CHECK(fake_did("listen /run/linuxkit/control.sock"));
}

/* The web service runs as process 500. */
static void run_web(void)
{
	supervise(&boot.table, 1, EVENT_START, 0, 0);
	fake_text("/run/web.pid", "500");
	CHECK(supervise_child(&boot.table, fake.next_pid - 1, 0, 0));
	CHECK(boot.table.units[1].state == UNIT_RUNNING);
}

static void connect_one(void)
{
	fake_text("/conn", "");
	fake_input("/conn", "");
	fake.connections = 1;
	(void)control_ready(LISTENER);
}

/* Asks on the first session; returns the action. */
static enum action ask(const char *line)
{
	fake_text("/conn", "");
	fake_input("/conn", line);
	return control_ready(FIRST);
}

static void lists_units(void)
{
	begin();
	run_web();
	connect_one();
	CHECK(ask("a1 list\n") == ACTION_NONE);
	CHECK_TEXT(fake_content("/conn"),
		   "a1 out 40\nonboot/000-net\twaiting\t0\t0\t0\t0\t0\t0\t0\t\"\"\n"
		   "a1 out 40\nservices/web\trunning\t500\t1\t0\t0\t0\t0\t0\t\"\"\na1 end 0\n");
}

/* Terminals that the kernel's command line names stand in for ports. */
static void answers_on_terminals(void)
{
	begin();
	fake_text("/proc/cmdline", "quiet linuxkit.control=/dev/ttyS2,/dev/none,/dev/ttyS4 x\n");
	fake_input("/dev/ttyS2", "");
	fake_input("/dev/ttyS4", "\nhalf\nab logs web follow\n0 hangup\n");
	control_find();
	CHECK(control_ready(2) == ACTION_NONE && control_ready(0) == ACTION_NONE);
	CHECK_TEXT(fake_content("/dev/ttyS4"),
		   " err 19\nthat is no request\n? end 2\n err 19\nthat is no request\n? end 2\nab out 0\n"
		   "0 err 19\nthat is no request\n0 end 2\n");
	CHECK_TEXT(fake_content("/dev/ttyS2"), "");
}

static void gives_the_log(void)
{
	int writer;

	begin();
	run_web();
	connect_one();
	writer = log_open(1);
	(void)sys_write(writer, "one\ntwo\n", 8);
	log_read(1, 0);
	(void)ask("a logs web\n");
	CHECK_TEXT(fake_content("/conn"), "a out 0\na out 8\none\ntwo\na end 0\n");
	(void)ask("b logs services/web follow\n");
	CHECK_TEXT(fake_content("/conn"), "b out 0\nb out 8\none\ntwo\n");
	(void)sys_write(writer, "three\n", 6);
	log_read(1, 0);
	(void)control_advance();
	CHECK_TEXT(fake_content("/conn"), "b out 0\nb out 8\none\ntwo\nb out 6\nthree\n");
	fake_text("/conn", "");
	fake.write_blocks = true; /* nobody reads, and much is said meanwhile */
	for (int i = 0; i < 20000; i++) {
		(void)sys_write(writer, "and so on\n", 10);
		if (i % 100 == 0)
			log_read(1, 0);
		(void)control_advance();
	}
	log_read(1, 0);
	fake.write_blocks = false;
	(void)control_advance();
	CHECK(strstr(fake_content("/conn"), "(bytes lost: "));
}

static void starts_and_stops(void)
{
	begin();
	run_web();
	connect_one();
	(void)ask("a stop web\n");
	CHECK(fake_did("kill 500 15"));
	CHECK_TEXT(fake_content("/conn"), "a out 0\n");
	CHECK(supervise_child(&boot.table, 500, 0, 15));
	CHECK(supervise_child(&boot.table, fake.next_pid - 1, 0, 0)); /* cleaned */
	(void)control_advance();
	CHECK_TEXT(fake_content("/conn"), "a out 0\na end 0\n");
	(void)ask("b start web\n");
	CHECK_TEXT(fake_content("/conn"), "b out 0\n");
	fake_text("/run/web.pid", "501");
	CHECK(supervise_child(&boot.table, fake.next_pid - 1, 0, 0));
	(void)control_advance();
	CHECK_TEXT(fake_content("/conn"), "b out 0\nb end 0\n");
	(void)ask("c start web\n");
	CHECK_TEXT(fake_content("/conn"), "c out 0\nc end 0\n"); /* it runs already */
	(void)ask("d restart web\n");
	CHECK(fake_did("kill 501 15"));
	CHECK(supervise_child(&boot.table, 501, 3, 0));
	CHECK(supervise_child(&boot.table, fake.next_pid - 1, 0, 0));
	(void)supervise_deadlines(&boot.table);
	CHECK(supervise_child(&boot.table, fake.next_pid - 1, 1, 0)); /* its runtime fails */
	(void)control_advance();
	CHECK_TEXT(fake_content("/conn"), "d out 0\nd err 20\nit does not stay up\nd end 1\n");
}

static void runs_commands(void)
{
	begin();
	run_web();
	connect_one();
	(void)ask("a exec web /bin/echo a%20b 100%25\n");
	CHECK_TEXT(fake_content("/conn"), "a out 0\n");
	CHECK(control_child(fake.next_pid - 1, 7, 0));
	(void)control_advance();
	CHECK_TEXT(fake_content("/conn"), "a out 0\na end 7\n");
	(void)ask("b exec web /bin/sleep 1000\n");
	(void)ask("c list\n"); /* a new request ends the one before */
	CHECK(strstr(fake.trace, " 9\n"));
	CHECK(strstr(fake_content("/conn"), "c end 0\n"));
	(void)ask("d exec net /bin/true\n");
	CHECK(strstr(fake_content("/conn"), "it does not run\nd end 126\n"));
}

static void obeys_power(void)
{
	begin();
	connect_one();
	CHECK(ask("a poweroff\n") == ACTION_POWEROFF);
	CHECK(ask("b reboot\n") == ACTION_REBOOT);
	CHECK(ask("c poweroff now\n") == ACTION_NONE);
	boot.phase = PHASE_STOPPING;
	(void)ask("d restart web\n");
	CHECK(strstr(fake_content("/conn"), "d end 1\n"));
}

static void refuses_nonsense(void)
{
	static const char *const lines[] = {
		"\n", " \n", "list\n", "a\n", "A list\n", "a list list\n", "a lust\n", "a logs\n",
		"a logs nobody\n", "a logs web follow me\n", "a start net\n", "a exec web\n", "a exec web %\n",
		"a exec web %0\n", "a exec web %00\n", "a exec web %zz\n", "aaaaaaaaaaaaaaaaa list\n",
		"a stop web web\n", "a  list\n",
	};

	begin();
	run_web();
	connect_one();
	for (size_t i = 0; i < sizeof lines / sizeof lines[0]; i++) {
		const char *answer;

		CHECK(ask(lines[i]) == ACTION_NONE);
		answer = strstr(fake_content("/conn"), " end ");
		if (!answer || answer[5] == '0')
			printf("case %zu: %s\n", i, fake_content("/conn")), failures++;
	}
	CHECK(boot.table.units[1].state == UNIT_RUNNING && !fake_did("kill 500 15"));
}

/* Requests come in any pieces, several in one, and up to a length. */
static void takes_any_pieces(void)
{
	static char longest[SESSION_LINE + 2];

	begin();
	run_web();
	connect_one();
	(void)ask("a li");
	CHECK_TEXT(fake_content("/conn"), "");
	fake_input("/conn", "st\nb logs web\nc l");
	(void)control_ready(FIRST);
	CHECK(strstr(fake_content("/conn"), "a end 0\nb out 0\nb end 0\n"));
	CHECK(ask("ust\n") == ACTION_NONE);
	CHECK_TEXT(fake_content("/conn"), "c err 19\nthat is no request\nc end 2\n");
	for (size_t length = SESSION_LINE - 1; length <= SESSION_LINE; length++) {
		memset(longest, 'x', length);
		memcpy(longest, "a exec net ", 11);
		memcpy(longest + length, "\n", 2);
		(void)ask(longest);
		CHECK_TEXT(fake_content("/conn"),
			   length < SESSION_LINE ? "a err 16\nit does not run\na end 126\n"
						 : " err 19\nthat is no request\n? end 2\n");
	}
}

static void reads_noise_cheaply(void)
{
	static char noise[30 * SESSION_LINE];

	begin();
	run_web();
	connect_one();
	memset(noise, 'x', sizeof noise - 1);
	fake.reads = 0;
	(void)ask(noise);
	CHECK(fake.reads < 40);
	(void)ask("\na list\n");
	CHECK(strstr(fake_content("/conn"), "a end 0\n"));
}

static void survives_anything(void)
{
	static const char *const parts[] = {"a ", "list", "logs ", "web", " follow", "exec ", "%41", "%", "\n",
					    "stop ", "start ", "restart ", " ", "services/web", "\r", "\x7f\xff"};
	static char noise[20001];
	unsigned seed = 3;

	begin();
	run_web();
	connect_one();
	for (int round = 0; round < 3000; round++) {
		size_t length = 0;

		while (length < (round % 50 ? 200u : 20000u)) {
			const char *part = parts[(seed >> 16) % (sizeof parts / sizeof parts[0])];

			seed = seed * 1103515245u + 12345u;
			if ((seed >> 8) % 5 == 0)
				noise[length++] = (char)((seed >> 20) | 1);
			for (; *part && length < sizeof noise - 1; part++)
				noise[length++] = *part;
		}
		noise[length] = '\0';
		fake.write_blocks = round % 7 == 0;
		CHECK(ask(noise) == ACTION_NONE);
		fake.write_blocks = false;
		(void)control_advance();
		fake.now += 50;
		(void)supervise_deadlines(&boot.table);
		if (strlen(fake.trace) > 40000)
			fake.trace[0] = '\0';
	}
	(void)ask("\nz list\n");
	CHECK(strstr(fake_content("/conn"), "z end 0\n"));
}

static void ends_with_its_caller(void)
{
	begin();
	run_web();
	connect_one();
	(void)ask("a exec web /bin/sleep 1000\n");
	fake.trace[0] = '\0';
	fake_text("/conn", "");
	fake_input("/conn", NULL); /* the end of the file */
	(void)control_ready(FIRST);
	CHECK(strstr(fake.trace, " 9\n")); /* what it asked for ends, too */
	for (int i = 0; i < 40; i++)
		connect_one(); /* more than there is room for */
	(void)ask("b list\n");
	CHECK(strstr(fake_content("/conn"), "b end 0\n"));
}

/* The kernel may tell late that the last caller left a port, and later still that another came. */
static void hears_who_comes_at_once(void)
{
	begin();
	fake_text("/proc/cmdline", "linuxkit.control=/dev/ttyS4\n");
	fake_input("/dev/ttyS4", "");
	control_find();
	fake_text("/dev/ttyS4", "");
	fake_input("/dev/ttyS4", NULL); /* the end of the file: one left */
	(void)control_ready(0);
	fake.hung_up = true;
	fake.now += 5000;
	fake_text("/dev/ttyS4", "");
	fake_input("/dev/ttyS4", "\na list\n");
	(void)control_ready(0);
	CHECK(strstr(fake_content("/dev/ttyS4"), "a end 0\n"));
}

int main(void)
{
	lists_units();
	answers_on_terminals();
	gives_the_log();
	starts_and_stops();
	runs_commands();
	obeys_power();
	refuses_nonsense();
	takes_any_pieces();
	reads_noise_cheaply();
	survives_anything();
	ends_with_its_caller();
	hears_who_comes_at_once();
	DONE();
}
