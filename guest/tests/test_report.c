#include "../init/report.h"

#include "../init/sys.h"
#include "check.h"
#include "fake_sys.h"

/* One after the other, as they arrive. */
static const struct {
	const char *in;
	enum action wanted;
} commands[] = {
	{"poweroff\n", ACTION_POWEROFF},
	{"reboot\r\n", ACTION_REBOOT},
	{"halt\n", ACTION_HALT},
	{"poweroff", ACTION_NONE}, /* no end of line yet */
	{"\n", ACTION_POWEROFF},   /* there it is */
	{"POWEROFF\n poweroff\npoweroff \n\n", ACTION_NONE},
	{"nonsense\nreboot\nmore\n", ACTION_REBOOT},
	{"reboot\npoweroff\n", ACTION_POWEROFF},
	{"xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx"
	 "xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxhalt\n", ACTION_NONE},
	{"halt\n", ACTION_HALT},
};

static char flood[1 << 20];

static size_t port_size(void) { return strlen(fake_content("/dev/vport1p1")); }

int main(void)
{
	struct unit unit = {.section = SECTION_SERVICES, .name = "we\"b", .state = UNIT_RUNNING};
	char long_name[129];
	const char *line;

	fake_reset();
	report_setup(0, 0);
	report_boot("started", ""); /* before there is a port: kept for it */
	CHECK(!report_connected() && report_sent());
	report_find();
	fake_text("/sys/class/virtio-ports/vport0p1/name", "org.qemu.guest_agent.0\n");
	fake_text("/dev/vport0p1", "");
	report_find();
	CHECK(!report_connected());
	fake_text("/sys/class/virtio-ports/vport1p1/name", "org.linuxkit.report\n");
	fake_text("/dev/vport1p1", "");
	fake.hung_up = true; /* nobody at the other end */
	report_find();
	CHECK(!report_connected());
	fake.hung_up = false;
	CHECK(report_ready() == ACTION_NONE && report_connected());
	CHECK_TEXT(fake_content("/dev/vport1p1"), "{\"t\":1000,\"event\":\"boot\",\"state\":\"started\"}\n");

	fake_text("/dev/vport1p1", "");
	report_unit(&unit, "services", "ignored while it runs");
	unit.outcome = OUTCOME_FAILED;
	unit.status = 7;
	report_unit(&unit, "services", "last \x1b[31mline\xff");
	report_phase("onboot");
	report_power(ACTION_HALT);
	CHECK_TEXT(fake_content("/dev/vport1p1"),
		   "{\"t\":1000,\"event\":\"unit\",\"unit\":\"services/we\\\"b\",\"state\":\"running\"}\n"
		   "{\"t\":1000,\"event\":\"unit\",\"unit\":\"services/we\\\"b\",\"state\":\"failed\",\"status\":7,"
		   "\"detail\":\"last \\u001b[31mline?\"}\n"
		   "{\"t\":1000,\"event\":\"phase\",\"phase\":\"onboot\"}\n"
		   "{\"t\":1000,\"event\":\"power\",\"action\":\"halt\"}\n");

	/* the longest name and the worst detail still make one line within the limit */
	memset(long_name, '"', sizeof long_name - 1);
	long_name[sizeof long_name - 1] = '\0';
	unit.name = long_name;
	fake_text("/dev/vport1p1", "");
	report_unit(&unit, "onshutdown", long_name);
	line = fake_content("/dev/vport1p1");
	CHECK(strlen(line) <= 1024 && line[strlen(line) - 1] == '\n' && strchr(line, '\n')[1] == '\0');

	/* a host that does not read: kept, then dropped, never waited for */
	fake_text("/dev/vport1p1", "");
	fake.write_blocks = true;
	for (int i = 0; i < 10000; i++)
		report_phase("onboot");
	CHECK(!report_sent() && port_size() == 0);
	fake.write_blocks = false;
	CHECK(report_ready() == ACTION_NONE);
	CHECK(report_sent() && port_size() > 30000 && port_size() <= 65536);

	for (size_t i = 0; i < sizeof commands / sizeof commands[0]; i++) {
		fake_input("/dev/vport1p1", commands[i].in);
		if (report_ready() != commands[i].wanted) {
			printf("command %zu is not understood\n", i);
			failures++;
		}
	}
	memset(flood, 'x', sizeof flood - 1);
	fake_input("/dev/vport1p1", flood);
	CHECK(report_ready() == ACTION_NONE); /* bounded: it comes back before all is read */
	DONE();
}
