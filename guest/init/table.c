/* Reading the boot table.  Everything is checked before anything is used. */
#include "table.h"

#include <string.h>

struct rule {
	const char *name;
	enum record_place place;
	unsigned least, most;
};

#define RECORD_RULE(id, name, place, least, most) {name, PLACE_##place, least, most},
static const struct rule rules[RECORD_KINDS] = {TABLE_RECORDS(RECORD_RULE)};

static const char *const section_names[] = SECTION_NAMES;
static const char *const policy_names[] = POLICY_NAMES;
static const char *const namespace_names[] = NAMESPACE_NAMES;
static const char *const restart_names[] = RESTART_NAMES;
static const char *const link_place_names[] = LINK_PLACE_NAMES;
static const char *const probe_names[] = PROBE_NAMES;

#define COUNT(list) (sizeof(list) / sizeof((list)[0]))

enum record_place record_place(enum record_kind kind)
{
	return rules[kind].place;
}

const char *table_word(const char *words, unsigned i)
{
	while (i--)
		words += strlen(words) + 1;
	return words;
}

const char *record_field(const struct record *record, unsigned i)
{
	return table_word(record->fields, i);
}

unsigned table_unit(const char *words, unsigned i)
{
	uint64_t number = 0;

	(void)text_number(table_word(words, i), MAX_UNITS, &number);
	return (unsigned)number;
}

static bool fail(struct text *error, const char *what, const char *name)
{
	text_join(error, what, name, NULL);
	return false;
}

/* The string at *at, which moves behind it; NULL when it is too long or has no end. */
static const char *next_string(const char *data, size_t size, size_t *at)
{
	const char *string = data + *at;
	size_t rest = size - *at;
	size_t length = strnlen(string, rest < MAX_STRING + 1 ? rest : MAX_STRING + 1);

	if (length > MAX_STRING || length == rest)
		return NULL;
	*at += length + 1;
	return string;
}

/* "COUNT NAME": returns the name. */
static const char *read_head(const char *head, unsigned *ret_count)
{
	unsigned count = 0;
	const char *s = head;

	for (; *s >= '0' && *s <= '9' && count <= MAX_FIELDS; s++)
		count = count * 10 + (unsigned)(*s - '0');
	if (s == head || *s != ' ')
		return NULL;
	*ret_count = count;
	return s + 1;
}

bool table_record(const char *data, size_t size, size_t *at, struct record *ret, struct text *error)
{
	struct record record = {0};
	const char *head = next_string(data, size, at);
	unsigned kind = 0;

	if (!head)
		return fail(error, "it breaks off", "");
	record.name = read_head(head, &record.count);
	if (!record.name)
		return fail(error, "no record at: ", head);
	while (kind < RECORD_KINDS && strcmp(rules[kind].name, record.name) != 0)
		kind++;
	if (kind == RECORD_KINDS)
		return fail(error, "unknown record ", record.name);
	record.kind = (enum record_kind)kind;
	if (record.count < rules[kind].least || record.count > rules[kind].most)
		return fail(error, "wrong number of fields for ", record.name);
	record.fields = data + *at;
	for (unsigned i = 0; i < record.count; i++)
		if (!next_string(data, size, at))
			return fail(error, "bad field of ", record.name);
	*ret = record;
	return true;
}

static bool word(const struct record *record, unsigned field, const char *const *names,
		 size_t count, unsigned *ret, struct text *error)
{
	for (unsigned i = 0; i < count; i++) {
		if (strcmp(record_field(record, field), names[i]) == 0) {
			*ret = i;
			return true;
		}
	}
	return fail(error, "bad word for ", record->name);
}

static bool absolute(const struct record *record, unsigned field, struct text *error)
{
	if (record_field(record, field)[0] == '/')
		return true;
	return fail(error, "no absolute path for ", record->name);
}

static bool take_number(const struct record *record, unsigned field, uint64_t least, uint64_t most,
			int64_t *ret, struct text *error)
{
	uint64_t value = 0;

	if (!text_number(record_field(record, field), most, &value) || value < least)
		return fail(error, "bad number for ", record->name);
	*ret = (int64_t)value;
	return true;
}

struct number {
	enum record_kind kind;
	uint64_t least, most;
	int64_t *place;
};

/* The records that are one number: their limits, and where the number goes. */
static bool read_number(struct table *table, struct unit *unit, const struct record *record,
			struct text *error)
{
	const struct number numbers[] = {
		{RECORD_LOG_RING, 256, MAX_LOG_RING, &table->log_ring},
		{RECORD_LOG_FILE, 0, MAX_LOG_FILE, &table->log_file},
		{RECORD_CONSOLE_RATE, 0, MAX_CONSOLE_RATE, &table->console_rate},
		{RECORD_PARALLEL, 1, MAX_PARALLEL, &table->parallel},
		{RECORD_STOP_SIGNAL, 1, 64, &unit->stop_signal},
		{RECORD_GRACE, 0, MAX_TIME_MS, &unit->grace_ms},
		{RECORD_TIMEOUT, 0, MAX_TIME_MS, &unit->timeout_ms},
	};
	const struct number *number = numbers;

	while (number->kind != record->kind)
		number++;
	return take_number(record, 0, number->least, number->most, number->place, error);
}

static bool read_head_record(struct table *table, const struct record *record, struct text *error)
{
	if (record->kind != RECORD_WATCHDOG)
		return read_number(table, table->units, record, error);
	table->watchdog = record_field(record, 0);
	return absolute(record, 0, error) &&
	       take_number(record, 1, 1000, MAX_WATCHDOG_MS, &table->watchdog_ms, error);
}

/* Numbers of units that stand before this one, so that there can be no circle. */
static bool read_units(const struct table *table, const struct record *record, const char **ret_words,
		       unsigned *ret_count, struct text *error)
{
	int64_t number = 0;

	if (table->unit_count < 2)
		return fail(error, "bad number for ", record->name);
	for (unsigned i = 0; i < record->count; i++)
		if (!take_number(record, i, 0, table->unit_count - 2, &number, error))
			return false;
	*ret_words = record->fields;
	*ret_count = record->count;
	return true;
}

static bool read_back_off(struct unit *unit, const struct record *record, struct text *error)
{
	return take_number(record, 0, 0, MAX_TIME_MS, &unit->first_delay_ms, error) &&
	       take_number(record, 1, 0, MAX_TIME_MS, &unit->most_delay_ms, error) &&
	       take_number(record, 2, 0, MAX_COUNT, &unit->limit, error) &&
	       take_number(record, 3, 0, MAX_TIME_MS, &unit->stable_ms, error);
}

/* INTERVAL TIMEOUT KIND WORD..., and before the kind of a health check RETRIES START-PERIOD. */
static bool read_probe(struct probe *probe, const struct record *record, struct text *error)
{
	bool health = record->kind == RECORD_HEALTH;
	unsigned at = health ? 4 : 2, kind = 0;
	int64_t port = 0;

	if (!take_number(record, 0, 10, MAX_TIME_MS, &probe->interval_ms, error) ||
	    !take_number(record, 1, 10, MAX_TIME_MS, &probe->timeout_ms, error) ||
	    (health && (!take_number(record, 2, 1, MAX_COUNT, &probe->retries, error) ||
			!take_number(record, 3, 0, MAX_TIME_MS, &probe->start_period_ms, error))) ||
	    !word(record, at, probe_names, COUNT(probe_names), &kind, error))
		return false;
	probe->kind = (enum probe_kind)(kind + 1);
	probe->words = record_field(record, at + 1);
	probe->count = record->count - at - 1;
	if (probe->kind != PROBE_EXEC && probe->count != 1)
		return fail(error, "wrong number of fields for ", record->name);
	if (probe->kind == PROBE_TCP)
		return take_number(record, at + 1, 1, 65535, &port, error);
	if (probe->kind == PROBE_NOTIFY && health)
		return fail(error, "bad word for ", record->name);
	return probe->kind == PROBE_EXEC || absolute(record, at + 1, error);
}

static bool begin_unit(struct table *table, const struct record *record, struct text *error)
{
	struct unit *unit = &table->units[table->unit_count];
	unsigned section = 0;
	const char *name = record_field(record, 1);

	if (table->unit_count == MAX_UNITS)
		return fail(error, "too many units", "");
	if (!word(record, 0, section_names, COUNT(section_names), &section, error))
		return false;
	if (!*name || strlen(name) > MAX_NAME)
		return fail(error, "bad name for ", record->name);
	*unit = (struct unit){
		.section = (enum section)section, .name = name, .stop_signal = 15, .deadline = NEVER,
		.probe_at = NEVER,
	};
	table->unit_count++;
	return true;
}

static bool read_property(struct table *table, const struct record *record, struct text *error)
{
	struct unit *unit = &table->units[table->unit_count - 1];
	unsigned choice = 0;

	switch (record->kind) {
	case RECORD_ON_FAILURE:
		if (!word(record, 0, policy_names, COUNT(policy_names), &choice, error))
			return false;
		unit->on_failure = (enum policy)choice;
		return true;
	case RECORD_PIDFILE:
		unit->pidfile = record_field(record, 0);
		return absolute(record, 0, error);
	case RECORD_LOG:
		unit->log = record_field(record, 0);
		return absolute(record, 0, error);
	case RECORD_RESTART:
		if (!word(record, 0, restart_names, COUNT(restart_names), &choice, error))
			return false;
		unit->restart = (enum restart)choice;
		return true;
	case RECORD_BACK_OFF:
		return read_back_off(unit, record, error);
	case RECORD_AFTER:
		return read_units(table, record, &unit->after, &unit->after_count, error);
	case RECORD_REQUIRES:
		return read_units(table, record, &unit->requires, &unit->requires_count, error);
	case RECORD_ENTER:
		unit->enter = record->fields;
		unit->enter_count = record->count;
		return absolute(record, 0, error);
	case RECORD_READY:
		return read_probe(&unit->ready, record, error);
	case RECORD_HEALTH:
		return read_probe(&unit->health, record, error);
	default:
		return read_number(table, unit, record, error);
	}
}

/* NAME KIND PEER PLACE; what has no kind is there already, and nobody needs a kind for a peer only. */
static bool check_link(const struct record *record, struct text *error)
{
	const char *name = record_field(record, 0), *kind = record_field(record, 1);
	const char *peer = record_field(record, 2);
	unsigned place = 0;

	if (!*name || strlen(name) > MAX_LINK_NAME || strlen(peer) > MAX_LINK_NAME)
		return fail(error, "bad name for ", record->name);
	if (strlen(kind) > MAX_LINK_KIND || (*peer && !*kind))
		return fail(error, "bad kind for ", record->name);
	return word(record, 3, link_place_names, COUNT(link_place_names), &place, error);
}

static bool check_step(const struct record *record, struct text *error)
{
	uint64_t flags = 0;
	unsigned choice = 0;

	switch (record->kind) {
	case RECORD_DEVICE:
	case RECORD_MKDIR: /* the mode is octal, so it must have a leading zero */
		for (const char *s = record_field(record, 1); *s; s++)
			if (*s < '0' || *s > '7' || s - record_field(record, 1) > 4)
				return fail(error, "bad mode for ", record->name);
		return absolute(record, 0, error);
	case RECORD_MOUNT:
	case RECORD_MOUNT_ONCE:
		if (!text_number(record_field(record, 3), UINT32_MAX, &flags))
			return fail(error, "bad flags for ", record->name);
		return absolute(record, 1, error);
	case RECORD_BIND_NS:
		return word(record, 0, namespace_names, COUNT(namespace_names), &choice, error) &&
		       absolute(record, 1, error);
	case RECORD_LINK:
		return check_link(record, error);
	default: /* umount and exec */
		return absolute(record, 0, error);
	}
}

/* Where in a unit the reader is. */
enum part { IN_HEAD, IN_PROPERTIES, IN_START, IN_CLEAN };

static bool unit_complete(const struct table *table, enum part part, bool empty, struct text *error)
{
	if (part == IN_HEAD || (part >= IN_START && !empty))
		return true;
	return fail(error, "nothing to do for ", table->units[table->unit_count - 1].name);
}

static bool read_mark(struct table *table, const struct record *record, size_t at, enum part *part,
		      struct text *error)
{
	struct unit *unit = table->unit_count ? &table->units[table->unit_count - 1] : NULL;

	if (record->kind == RECORD_UNIT) {
		*part = IN_PROPERTIES;
		return begin_unit(table, record, error);
	}
	if (record->kind == RECORD_START && *part == IN_PROPERTIES) {
		*part = IN_START;
		unit->start = at;
		return true;
	}
	if (record->kind == RECORD_CLEAN && *part == IN_START) {
		*part = IN_CLEAN;
		unit->clean = at;
		return true;
	}
	return fail(error, "misplaced record ", record->name);
}

static bool read_records(struct table *table, size_t at, struct text *error)
{
	static const enum record_place expected[] = {PLACE_HEAD, PLACE_PROPERTY, PLACE_STEP, PLACE_STEP};
	struct record record;
	enum part part = IN_HEAD;
	bool empty = true; /* the program so far */

	for (;;) {
		if (!table_record(table->data, table->size, &at, &record, error))
			return false;
		if (rules[record.kind].place == PLACE_MARK) {
			if (record.kind != RECORD_START && !unit_complete(table, part, empty, error))
				return false;
			if (record.kind == RECORD_END)
				break;
			if (!read_mark(table, &record, at, &part, error))
				return false;
			empty = true;
			continue;
		}
		if (rules[record.kind].place != expected[part])
			return fail(error, "misplaced record ", record.name);
		if (part == IN_HEAD ? !read_head_record(table, &record, error)
		    : part == IN_PROPERTIES ? !read_property(table, &record, error)
					    : !check_step(&record, error))
			return false;
		empty = false;
	}
	return at == table->size || fail(error, "it goes on after its end", "");
}

bool table_read(struct table *table, const char *data, size_t size, struct unit *units,
		struct text *error)
{
	size_t at = 0;
	const char *magic = size <= MAX_TABLE_BYTES ? next_string(data, size, &at) : NULL;
	const char *version = magic ? next_string(data, size, &at) : NULL;

	*table = (struct table){
		.data = data, .size = size, .units = units,
		.log_ring = 4096, .log_file = 65536, .console_rate = 4096, .parallel = 1,
	};
	if (!version || strcmp(magic, TABLE_MAGIC) != 0)
		return fail(error, "it is no boot table", "");
	if (strcmp(version, TABLE_VERSION) != 0)
		return fail(error, "this init reads version " TABLE_VERSION ", it has version ", version);
	return read_records(table, at, error);
}

bool table_step(const struct table *table, size_t *at, struct record *ret)
{
	char ignored[1];
	struct text error = text_in(ignored, sizeof ignored);
	size_t next = *at;

	if (!next || !table_record(table->data, table->size, &next, ret, &error))
		return false;
	if (rules[ret->kind].place != PLACE_STEP)
		return false;
	*at = next;
	return true;
}
