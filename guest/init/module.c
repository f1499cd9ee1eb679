/* Loading kernel modules. */
#include "module.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>

#include "files.h"
#include "sys.h"
#include "text.h"

#define MAX_DEPTH 16 /* of dependencies on dependencies */
#define MAX_INDEX (16 << 20)
#define NAME_BYTES 64
#define LINE_BYTES 4096

struct file {
	const char *data;
	size_t size;
};

static struct text folder;
static char folder_buffer[128];
static struct file dep, alias, softdep;

static int load_any(const char *name, unsigned depth);
static int load(const char *name, unsigned depth);

static struct file map(const char *name)
{
	struct file file = {0};
	int64_t size;
	int fd;
	TEXT(path, 200);

	text_join(&path, folder.data, "/", name, NULL);
	fd = sys_open(path.data, O_RDONLY, 0);
	if (fd < 0)
		return file;
	size = sys_file_size(fd);
	if (size > 0 && size <= MAX_INDEX)
		file.data = sys_map(fd, (size_t)size);
	if (file.data)
		file.size = (size_t)size;
	sys_close(fd);
	return file;
}

bool module_setup(void)
{
	folder = text_in(folder_buffer, sizeof folder_buffer);
	text_join(&folder, "/lib/modules/", sys_kernel_release(), NULL);
	dep = map("modules.dep");
	alias = map("modules.alias");
	softdep = map("modules.softdep");
	return dep.size > 0;
}

/* The next line of a file as text; what does not fit is cut off. */
static bool next_line(const struct file *file, size_t *at, char *line, size_t size)
{
	const char *start = file->data + *at, *end;
	size_t length;

	if (*at >= file->size)
		return false;
	end = memchr(start, '\n', file->size - *at);
	length = end ? (size_t)(end - start) : file->size - *at;
	*at += length + 1;
	if (length >= size)
		length = size - 1;
	memcpy(line, start, length);
	line[length] = '\0';
	return true;
}

/* Cuts the next word off; NULL at the end. */
static char *next_word(char **rest)
{
	char *word = *rest + strspn(*rest, " \t");

	*rest = word + strcspn(word, " \t");
	if (**rest)
		*(*rest)++ = '\0';
	return *word ? word : NULL;
}

/* "kernel/net/veth.ko.xz" is the module "veth". */
static void name_of(const char *path, char name[NAME_BYTES])
{
	const char *base = strrchr(path, '/');
	const char *start = base ? base + 1 : path;
	const char *end = strstr(start, ".ko");
	struct text text = text_in(name, NAME_BYTES);

	text_add_bytes(&text, start, end ? (size_t)(end - start) : strlen(start));
}

/* Whether it is there and has begun its work; while another loads it, loading it too waits for that. */
static bool is_loaded(const char *name)
{
	char state[8];
	TEXT(path, 128);

	text_join(&path, "/sys/module/", name, "/initstate", NULL); /* built-in ones have no such file */
	for (char *s = path.data; *s; s++)
		if (*s == '-')
			*s = '_';
	return file_read(path.data, state, sizeof state) >= 0 && strcmp(state, "live") == 0;
}

static int insert(const char *path)
{
	size_t length = strlen(path);
	bool plain = length > 3 && strcmp(path + length - 3, ".ko") == 0;
	int fd, done;
	TEXT(full, 512);

	if (path[0] != '/')
		text_join(&full, folder.data, "/", NULL);
	text_add(&full, path);
	fd = sys_open(full.data, O_RDONLY, 0);
	if (fd < 0)
		return fd;
	done = sys_load_module(fd, !plain);
	sys_close(fd);
	return done == -EEXIST ? 0 : done;
}

/* What has to be loaded before, by "softdep NAME pre: A B post: C". */
static void load_softdeps(const char *name, unsigned depth)
{
	char line[LINE_BYTES];

	for (size_t at = 0; next_line(&softdep, &at, line, sizeof line);) {
		char *rest = line, *word = next_word(&rest), *module = next_word(&rest);
		bool before = false;

		if (!word || !module || !text_same_module(module, name))
			continue;
		while ((word = next_word(&rest))) {
			if (strcmp(word, "pre:") == 0 || strcmp(word, "post:") == 0)
				before = word[1] == 'r';
			else if (before)
				(void)load_any(word, depth); /* soft: it may be absent */
		}
	}
}

/* Loads those a line of modules.dep names, which stand in the order opposite to loading. */
static int load_list(char *list, unsigned depth)
{
	char name[NAME_BYTES];
	int done = 0;

	for (char *end = list + strlen(list); done == 0 && end > list;) {
		char *start = end;

		while (start > list && start[-1] != ' ')
			start--;
		*end = '\0';
		if (*start) {
			name_of(start, name);
			done = load(name, depth);
		}
		end = start > list ? start - 1 : list;
	}
	return done;
}

static int load(const char *name, unsigned depth)
{
	char line[LINE_BYTES], found[NAME_BYTES];

	if (depth > MAX_DEPTH)
		return -ELOOP;
	if (is_loaded(name))
		return 0;
	for (size_t at = 0; next_line(&dep, &at, line, sizeof line);) {
		char *colon = strchr(line, ':');
		int done;

		if (!colon)
			continue;
		*colon = '\0';
		name_of(line, found);
		if (!text_same_module(found, name))
			continue;
		load_softdeps(name, depth + 1);
		done = load_list(colon + 1, depth + 1);
		return done < 0 ? done : insert(line);
	}
	return -ENOENT;
}

/* Whether the fixed start of a pattern, which decides nearly always, is that of the string. */
static bool may_match(const char *pattern, const char *string)
{
	size_t length = strcspn(pattern, "*?[-_");

	return strncmp(pattern, string, length) == 0;
}

static unsigned load_aliases(const char *const *wanted, size_t count, bool *ret_matched,
			     unsigned depth)
{
	char line[LINE_BYTES];
	unsigned loaded = 0;

	*ret_matched = false;
	for (size_t at = 0; next_line(&alias, &at, line, sizeof line);) {
		char *rest = line, *word = next_word(&rest), *pattern = next_word(&rest);
		char *module = next_word(&rest);
		size_t i = 0;

		if (!word || !module || strcmp(word, "alias") != 0)
			continue;
		while (i < count &&
		       !(may_match(pattern, wanted[i]) && text_matches(pattern, wanted[i])))
			i++;
		if (i == count)
			continue;
		*ret_matched = true;
		if (!is_loaded(module))
			loaded += load(module, depth) == 0;
	}
	return loaded;
}

/* Loads by name or by alias. */
static int load_any(const char *name, unsigned depth)
{
	int done = load(name, depth);
	bool matched = false;

	if (done == -ENOENT)
		(void)load_aliases(&name, 1, &matched, depth);
	return matched ? 0 : done;
}

unsigned module_load_aliases(const char *const *wanted, size_t count, bool *ret_matched)
{
	return load_aliases(wanted, count, ret_matched, 0);
}

int module_main(char *const argv[])
{
	bool options = true, quiet = false;
	int result = 0;

	if (!module_setup())
		return 1;
	for (argv++; *argv; argv++) {
		int done;

		if (options && (*argv)[0] == '-') {
			options = strcmp(*argv, "--") != 0;
			quiet |= strchr(*argv, 'q') != NULL;
			continue;
		}
		done = load_any(*argv, 0);
		if (done < 0) {
			TEXT(line, 256);

			text_join(&line, "modprobe: ", *argv, ": ", strerror(-done), "\n", NULL);
			if (!quiet)
				(void)sys_write(2, line.data, line.length);
			result = 1;
		}
	}
	return result;
}
