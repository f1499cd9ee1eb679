/* Small jobs with files. */
#include "files.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>

#include "sys.h"
#include "text.h"

/* The kernel's struct linux_dirent64. */
struct entry {
	uint64_t number;
	int64_t offset;
	unsigned short length;
	unsigned char type;
	char name[];
};

int file_read(const char *path, char *buffer, size_t size)
{
	int fd = sys_open(path, O_RDONLY | O_NONBLOCK, 0);
	ssize_t done;

	if (fd < 0)
		return fd;
	done = sys_read(fd, buffer, size - 1);
	sys_close(fd);
	if (done < 0)
		return (int)done;
	while (done && (buffer[done - 1] == '\n' || buffer[done - 1] == ' '))
		done--;
	buffer[done] = '\0';
	return (int)done;
}

int file_parent(int pid)
{
	char status[1024];
	const char *line;
	uint64_t parent = 0;
	TEXT(path, 32);

	text_add(&path, "/proc/");
	text_add_number(&path, pid);
	text_add(&path, "/status");
	if (file_read(path.data, status, sizeof status) < 0)
		return 0;
	line = strstr(status, "\nPPid:\t");
	if (!line)
		return 0;
	status[strcspn(line + 7, "\n") + (size_t)(line + 7 - status)] = '\0';
	return text_number(line + 7, 1 << 22, &parent) ? (int)parent : 0;
}

int file_write(const char *path, const char *text)
{
	int fd = sys_open(path, O_WRONLY, 0);
	ssize_t done;

	if (fd < 0)
		return fd;
	done = sys_write(fd, text, strlen(text));
	sys_close(fd);
	return done < 0 ? (int)done : 0;
}

int file_mkdirs(const char *path, unsigned mode)
{
	int done = sys_mkdir(path, mode);
	TEXT(above, 4096);

	if (done != -ENOENT)
		return done == -EEXIST ? 0 : done;
	text_add(&above, path);
	for (char *slash = strchr(above.data + 1, '/'); slash; slash = strchr(slash + 1, '/')) {
		*slash = '\0';
		done = sys_mkdir(above.data, 0755);
		if (done < 0 && done != -EEXIST)
			return done;
		*slash = '/';
	}
	done = sys_mkdir(path, mode);
	return done == -EEXIST ? 0 : done;
}

int file_list(const char *folder, bool (*visit)(const char *folder, const char *name, void *context),
	      void *context)
{
	_Alignas(struct entry) char buffer[4096];
	int fd = sys_open(folder, O_RDONLY | O_DIRECTORY, 0);
	ssize_t done = fd;
	bool more = fd >= 0;

	while (more && (done = sys_list(fd, buffer, sizeof buffer)) > 0) {
		for (ssize_t at = 0; more && at < done;) {
			struct entry *entry = (struct entry *)(void *)(buffer + at);

			at += entry->length;
			if (strcmp(entry->name, ".") != 0 && strcmp(entry->name, "..") != 0)
				more = visit(folder, entry->name, context);
		}
	}
	sys_close(fd);
	return done < 0 ? (int)done : 0;
}

bool file_kernel_word(const char *word, struct text *ret)
{
	char line[4096];
	char *value = NULL;
	TEXT(wanted, 64);

	text_join(&wanted, word, "/dev/", NULL);
	if (file_read("/proc/cmdline", line, sizeof line) >= 0)
		value = strstr(line, wanted.data);
	if (!value || (value != line && value[-1] != ' '))
		return false;
	value += strlen(word);
	value[strcspn(value, " \n")] = '\0';
	text_add(ret, value);
	return true;
}
