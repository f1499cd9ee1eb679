#include "../init/table.h"

#include <stdlib.h>

#include "check.h"

#define HEAD "linuxkit-boot-table\0" "1\0"
#define UNIT "2 unit\0services\0web\0"
#define START "0 start\0"
#define RUN "2 exec\0/bin/web\0-x\0"
#define END "0 end\0"
#define T(text) (text), sizeof(text) - 1

static struct unit units[MAX_UNITS];
static struct table table;

static const struct {
	const char *data;
	size_t size;
	const char *error; /* NULL: good */
} cases[] = {
	{T(HEAD END), NULL},
	{T(HEAD UNIT START RUN END), NULL},
	{T(HEAD "1 log-ring\0" "4096\0" "1 parallel\0" "2\0" UNIT "1 grace\0" "5\0" START RUN "0 clean\0" RUN END), NULL},
	{T(""), "it is no boot table"},
	{T("linuxkit-boot-table"), "it is no boot table"},
	{T("something else\0" "1\0" END), "it is no boot table"},
	{T("linuxkit-boot-table\0" "2\0" END), "this init reads version 1, it has version 2"},
	{T(HEAD), "it breaks off"},
	{T(HEAD "0 end"), "it breaks off"},
	{T(HEAD UNIT START RUN), "it breaks off"},
	{T(HEAD END "x"), "it goes on after its end"},
	{T(HEAD "0 mood\0" END), "unknown record mood"},
	{T(HEAD "2 watchdog\0/dev/watchdog\0" "5000\0" END), NULL},
	{T(HEAD "2 watchdog\0watchdog\0" "5000\0" END), "no absolute path for watchdog"},
	{T(HEAD "2 watchdog\0/dev/watchdog\0" "999\0" END), "bad number for watchdog"},
	{T(HEAD UNIT "1 restart\0always\0" "4 back-off\0" "0\0" "5\0" "0\0" "9\0" START RUN END), NULL},
	{T(HEAD UNIT "1 restart\0often\0" START RUN END), "bad word for restart"},
	{T(HEAD UNIT "4 back-off\0" "0\0" "5\0" "x\0" "9\0" START RUN END), "bad number for back-off"},
	{T(HEAD UNIT START RUN UNIT "1 after\0" "0\0" START RUN END), NULL},
	{T(HEAD UNIT START RUN UNIT "1 after\0" "1\0" START RUN END), "bad number for after"},
	{T(HEAD UNIT "1 requires\0" "0\0" START RUN END), "bad number for requires"},
	{T(HEAD UNIT "1 enter\0crun\0" START RUN END), "no absolute path for enter"},
	{T(HEAD UNIT "4 ready\0" "10\0" "10\0" "tcp\0" "80\0" START RUN END), NULL},
	{T(HEAD UNIT "4 ready\0" "10\0" "10\0" "tcp\0" "65536\0" START RUN END), "bad number for ready"},
	{T(HEAD UNIT "4 ready\0" "10\0" "10\0" "file\0" "x\0" START RUN END), "no absolute path for ready"},
	{T(HEAD UNIT "4 ready\0" "1\0" "10\0" "exec\0" "x\0" START RUN END), "bad number for ready"},
	{T(HEAD UNIT "4 ready\0" "10\0" "10\0" "smell\0" "x\0" START RUN END), "bad word for ready"},
	{T(HEAD UNIT "5 ready\0" "10\0" "10\0" "file\0" "/x\0" "/y\0" START RUN END),
	 "wrong number of fields for ready"},
	{T(HEAD UNIT "6 health\0" "10\0" "10\0" "3\0" "0\0" "exec\0" "x\0" START RUN END), NULL},
	{T(HEAD UNIT "6 health\0" "10\0" "10\0" "0\0" "0\0" "exec\0" "x\0" START RUN END),
	 "bad number for health"},
	{T(HEAD UNIT "6 health\0" "10\0" "10\0" "3\0" "0\0" "notify\0" "/x\0" START RUN END),
	 "bad word for health"},
	{T(HEAD "end\0"), "no record at: end"},
	{T(HEAD "99999999999999999 exec\0" END), "no record at: 99999999999999999 exec"},
	{T(HEAD "1 unit\0services\0" END), "wrong number of fields for unit"},
	{T(HEAD UNIT START "65 exec\0" END), "wrong number of fields for exec"},
	{T(HEAD UNIT START "3 exec\0/bin/x\0"), "bad field of exec"},
	{T(HEAD UNIT END), "nothing to do for web"},
	{T(HEAD UNIT START END), "nothing to do for web"},
	{T(HEAD UNIT START RUN "0 clean\0" END), "nothing to do for web"},
	{T(HEAD UNIT UNIT START RUN END), "nothing to do for web"},
	{T(HEAD START END), "misplaced record start"},
	{T(HEAD UNIT "0 clean\0" RUN END), "nothing to do for web"},
	{T(HEAD UNIT START RUN START RUN END), "misplaced record start"},
	{T(HEAD RUN END), "misplaced record exec"},
	{T(HEAD UNIT RUN END), "misplaced record exec"},
	{T(HEAD UNIT START "1 grace\0" "5\0" RUN END), "misplaced record grace"},
	{T(HEAD UNIT START RUN "1 parallel\0" "5\0" END), "misplaced record parallel"},
	{T(HEAD "2 unit\0cron\0x\0" START RUN END), "bad word for unit"},
	{T(HEAD "2 unit\0services\0\0" START RUN END), "bad name for unit"},
	{T(HEAD UNIT "1 grace\0" "-5\0" START RUN END), "bad number for grace"},
	{T(HEAD UNIT "1 timeout\0" "86400001\0" START RUN END), "bad number for timeout"},
	{T(HEAD UNIT "1 stop-signal\0" "0\0" START RUN END), "bad number for stop-signal"},
	{T(HEAD "1 parallel\0" "0\0" END), "bad number for parallel"},
	{T(HEAD "1 log-ring\0" "65537\0" END), "bad number for log-ring"},
	{T(HEAD UNIT "1 on-failure\0panic\0" START RUN END), "bad word for on-failure"},
	{T(HEAD UNIT "1 pidfile\0run/x\0" START RUN END), "no absolute path for pidfile"},
	{T(HEAD UNIT START "2 mkdir\0x\0" "0755\0" END), "no absolute path for mkdir"},
	{T(HEAD UNIT START "2 mkdir\0/x\0" "0999\0" END), "bad mode for mkdir"},
	{T(HEAD UNIT START "2 mkdir\0/x\0" "017777\0" END), "bad mode for mkdir"},
	{T(HEAD UNIT START "2 device\0/dev/x\0" "666x\0" END), "bad mode for device"},
	{T(HEAD UNIT START "5 mount\0s\0t\0\0" "0\0\0" END), "no absolute path for mount"},
	{T(HEAD UNIT START "5 mount\0s\0/t\0\0" "x\0\0" END), "bad flags for mount"},
	{T(HEAD UNIT START "2 bind-ns\0time\0/x\0" END), "bad word for bind-ns"},
	{T(HEAD UNIT START "1 exec\0sh\0" END), "no absolute path for exec"},
	{T(HEAD UNIT START "4 link\0eth0\0\0\0container\0" END), NULL},
	{T(HEAD UNIT START "4 link\0" "123456789012345\0veth\0" "123456789012345\0root\0" END), NULL},
	{T(HEAD UNIT START "4 link\0" "1234567890123456\0veth\0b\0root\0" END), "bad name for link"},
	{T(HEAD UNIT START "4 link\0a\0veth\0" "1234567890123456\0root\0" END), "bad name for link"},
	{T(HEAD UNIT START "4 link\0\0dummy\0\0root\0" END), "bad name for link"},
	{T(HEAD UNIT START "4 link\0a\0\0b\0root\0" END), "bad kind for link"},
	{T(HEAD UNIT START "4 link\0a\0" "12345678901234567890123456789012\0\0root\0" END), "bad kind for link"},
	{T(HEAD UNIT START "4 link\0a\0dummy\0\0host\0" END), "bad word for link"},
};

static void reads_cases(void)
{
	for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
		TEXT(error, 256);
		/* an exact copy on the heap lets the sanitizer see every byte read too many */
		char *copy = malloc(cases[i].size + 1);
		bool good;

		memcpy(copy, cases[i].data, cases[i].size);
		copy = realloc(copy, cases[i].size ? cases[i].size : 1);
		good = table_read(&table, copy, cases[i].size, units, &error);
		if (good != !cases[i].error)
			printf("case %zu: %s\n", i, error.data), failures++;
		CHECK_TEXT(error.data, cases[i].error ? cases[i].error : "");
		free(copy);
	}
}

static void fills_units(void)
{
	static const char data[] = HEAD "1 console-rate\0" "77\0" UNIT "1 on-failure\0reboot\0"
		"1 stop-signal\0" "9\0" "1 pidfile\0/run/x\0" START "2 mkdir\0/a\0" "0755\0" RUN
		"0 clean\0" "1 umount\0/a\0" "2 unit\0onboot\0" "000-x\0" START RUN END;
	TEXT(error, 256);
	struct record record;
	size_t at;

	CHECK(table_read(&table, data, sizeof data - 1, units, &error));
	CHECK(table.unit_count == 2 && table.console_rate == 77 && table.parallel == 1);
	CHECK(units[0].section == SECTION_SERVICES && units[0].on_failure == POLICY_REBOOT);
	CHECK(units[0].stop_signal == 9 && units[1].stop_signal == 15 && !units[1].pidfile);
	CHECK_TEXT(units[0].pidfile, "/run/x");
	CHECK_TEXT(units[1].name, "000-x");
	CHECK(units[1].clean == 0 && units[0].deadline == NEVER && units[0].probe_at == NEVER);
	CHECK(units[0].ready.kind == PROBE_NONE && units[0].restart == RESTART_NO);
	at = units[0].start;
	CHECK(table_step(&table, &at, &record) && record.kind == RECORD_MKDIR);
	CHECK(table_step(&table, &at, &record) && record.kind == RECORD_EXEC && record.count == 2);
	CHECK_TEXT(record_field(&record, 1), "-x");
	CHECK(!table_step(&table, &at, &record));
	at = units[0].clean;
	CHECK(table_step(&table, &at, &record) && record.kind == RECORD_UMOUNT);
	CHECK(!table_step(&table, &at, &record));
	at = units[1].clean;
	CHECK(!table_step(&table, &at, &record));
}

static void keeps_limits(void)
{
	TEXT(error, 256);
	size_t size = sizeof HEAD - 1, unit = sizeof(UNIT START RUN) - 1;
	char *data = malloc(MAX_TABLE_BYTES + 1);

	memcpy(data, HEAD, size);
	for (int i = 0; i < MAX_UNITS + 1; i++, size += unit)
		memcpy(data + size, UNIT START RUN, unit);
	memcpy(data + size, END, sizeof END - 1);
	CHECK(!table_read(&table, data, size + sizeof END - 1, units, &error));
	CHECK_TEXT(error.data, "too many units");
	size -= unit;
	memcpy(data + size, END, sizeof END - 1);
	CHECK(table_read(&table, data, size + sizeof END - 1, units, &error));
	CHECK(table.unit_count == MAX_UNITS);
	CHECK(!table_read(&table, data, MAX_TABLE_BYTES + 1, units, &error));
	free(data);
}

/* Whatever is changed in a good table: the reader stays inside of it and comes to an end. */
static void survives_anything(void)
{
	static const char good[] = HEAD "1 log-ring\0" "4096\0" UNIT "1 grace\0" "5\0"
		"4 ready\0" "10\0" "10\0" "tcp\0" "80\0" "1 restart\0always\0" START
		"5 mount\0s\0/t\0x\0" "0\0\0" RUN "0 clean\0" RUN END;
	unsigned seed = 42;

	for (int i = 0; i < 60000; i++) {
		TEXT(error, 64);
		size_t size = sizeof good - 1, changes;
		char *copy;

		seed = seed * 1103515245u + 12345u;
		if (i % 3 == 0)
			size = (seed >> 8) % size;
		copy = malloc(size + 1);
		copy = realloc(copy, size ? size : 1);
		memcpy(copy, good, size);
		for (changes = (seed >> 24) % 4; size && changes; changes--) {
			seed = seed * 1103515245u + 12345u;
			copy[(seed >> 8) % size] = i % 2 ? (char)(seed >> 24) : "019 /\0"[(seed >> 24) % 6];
		}
		if (table_read(&table, copy, size, units, &error)) {
			for (unsigned j = 0; j < table.unit_count; j++) {
				struct record record;
				size_t at = units[j].start;

				CHECK(table_step(&table, &at, &record));
				while (table_step(&table, &at, &record))
					CHECK(strlen(record_field(&record, record.count - 1)) <= MAX_STRING);
			}
		} else {
			CHECK(error.length > 0);
		}
		free(copy);
	}
}

int main(void)
{
	reads_cases();
	fills_units();
	keeps_limits();
	survives_anything();
	DONE();
}
