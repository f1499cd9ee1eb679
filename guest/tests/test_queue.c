#include "../init/queue.h"
#include "check.h"
#include "fake_sys.h"
#include "../init/sys.h"

static char memory[16];

static struct queue fresh(void) { return (struct queue){.data = memory, .size = sizeof memory}; }

static void adds_all_or_nothing(void)
{
	struct queue queue = fresh();

	CHECK(queue_add(&queue, "0123456789", 10));
	CHECK(!queue_add(&queue, "abcdefg", 7) && queue.lost == 1 && queue.used == 10);
	CHECK(queue_add(&queue, "abcdef", 6) && queue.used == 16);
}

static void flushes_around_the_end(void)
{
	struct queue queue = fresh();
	int fd;

	fake_reset();
	fake_text("/out", "");
	fd = sys_open("/out", 0, 0);
	for (int i = 0; i < 5; i++) {
		CHECK(queue_add(&queue, "0123456789", 10));
		CHECK(queue_flush(&queue, fd) == 0);
	}
	CHECK_TEXT(fake_content("/out"), "01234567890123456789012345678901234567890123456789");
	fake.write_blocks = true;
	CHECK(queue_add(&queue, "x", 1) && queue_flush(&queue, fd) == 0 && queue.used == 1);
}

static void overwrites_the_oldest(void)
{
	struct queue queue = fresh();
	char out[17];

	queue_overwrite(&queue, "first\nsecond\n", 13);
	queue_overwrite(&queue, "third\n", 6);
	CHECK(queue.lost == 3 && queue.used == 16);
	CHECK(queue_last_lines(&queue, 1, out, sizeof out) == 5);
	CHECK_TEXT(out, "third");
	(void)queue_last_lines(&queue, 2, out, sizeof out);
	CHECK_TEXT(out, "second\nthird");
	(void)queue_last_lines(&queue, 9, out, 8);
	CHECK_TEXT(out, "d\nthird");
	queue_overwrite(&queue, "a very long piece that is longer than all\n", 42);
	(void)queue_last_lines(&queue, 9, out, sizeof out);
	CHECK_TEXT(out, "longer than all");
	queue = fresh();
	CHECK(queue_last_lines(&queue, 3, out, sizeof out) == 0);
	queue_overwrite(&queue, "\n\n\n", 3);
	CHECK(queue_last_lines(&queue, 3, out, sizeof out) == 0);
}

int main(void)
{
	adds_all_or_nothing();
	flushes_around_the_end();
	overwrites_the_oldest();
	DONE();
}
