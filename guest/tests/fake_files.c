/* The bodies of sys.h for tests: files, pipes and sockets, in tables. */
#include "fake_sys.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../init/sys.h"

#define FILES 256
#define HANDLES 2048

struct file {
	char path[256];
	char *data;
	size_t size;
	bool pipe;
	const char *input; /* a device gives this to its reader, and what is written is data */
};

struct handle {
	struct file *file;
	size_t at;
	bool open, folder;
	char path[256];
	size_t entries; /* already listed */
};

static struct file files[FILES];
static struct handle handles[HANDLES];
static size_t file_count;

void fake_files_reset(void)
{
	for (size_t i = 0; i < file_count; i++)
		free(files[i].data);
	memset(files, 0, sizeof files);
	memset(handles, 0, sizeof handles);
	file_count = 0;
}

static struct file *find(const char *path)
{
	for (size_t i = 0; i < file_count; i++)
		if (strcmp(files[i].path, path) == 0)
			return &files[i];
	return NULL;
}

static struct file *make(const char *path)
{
	struct file *file = find(path);

	if (!file) {
		if (file_count == FILES)
			abort();
		file = &files[file_count++];
		snprintf(file->path, sizeof file->path, "%s", path);
	}
	return file;
}

void fake_file(const char *path, const char *data, size_t size)
{
	struct file *file = make(path);

	free(file->data);
	file->data = malloc(size + 1);
	memcpy(file->data, data, size);
	file->data[size] = '\0';
	file->size = size;
}

void fake_text(const char *path, const char *text) { fake_file(path, text, strlen(text)); }

void fake_input(const char *path, const char *text) { make(path)->input = text; }

const char *fake_content(const char *path)
{
	struct file *file = find(path);

	return file && file->data ? file->data : "";
}

void fake_remove(const char *path)
{
	struct file *file = find(path);

	if (file)
		file->path[0] = '\0';
}

static bool is_folder(const char *path)
{
	size_t length = strlen(path);

	for (size_t i = 0; i < file_count; i++)
		if (strncmp(files[i].path, path, length) == 0 && files[i].path[length] == '/')
			return true;
	return false;
}

static int new_handle(struct file *file, const char *path)
{
	for (int i = 3; i < HANDLES; i++) {
		if (!handles[i].open) {
			handles[i] = (struct handle){.file = file, .open = true, .folder = !file};
			snprintf(handles[i].path, sizeof handles[i].path, "%s", path);
			return i;
		}
	}
	return -EMFILE;
}

int sys_open(const char *path, int flags, unsigned mode)
{
	struct file *file = find(path);

	(void)mode;
	if (!file && is_folder(path))
		return new_handle(NULL, path);
	if (!file && !(flags & O_CREAT))
		return -ENOENT;
	return new_handle(file ? file : make(path), path);
}

void sys_close(int fd)
{
	if (fd >= 3)
		handles[fd].open = false;
}

ssize_t sys_read(int fd, void *buffer, size_t size)
{
	struct handle *handle = &handles[fd];
	size_t left;

	if (fd < 3 || !handle->open || !handle->file)
		return -EBADF;
	fake.reads++;
	if (handle->file->input) {
		const char *input = handle->file->input;

		left = strlen(input) < size ? strlen(input) : size;
		memcpy(buffer, input, left);
		handle->file->input += left;
		return left ? (ssize_t)left : -EAGAIN;
	}
	left = handle->file->size > handle->at ? handle->file->size - handle->at : 0;
	if (!left)
		return handle->file->pipe ? -EAGAIN : 0;
	if (size > left)
		size = left;
	memcpy(buffer, handle->file->data + handle->at, size);
	handle->at += size;
	return (ssize_t)size;
}

ssize_t sys_write(int fd, const void *buffer, size_t size)
{
	struct file *file;

	if (fd < 3) {
		fake_trace("write %d: %.*s\n", fd, (int)size, (const char *)buffer);
		return (ssize_t)size;
	}
	if (!handles[fd].open || !handles[fd].file)
		return -EBADF;
	file = handles[fd].file;
	if (fake.write_blocks && !file->pipe)
		return -EAGAIN;
	file->data = realloc(file->data, file->size + size + 1);
	memcpy(file->data + file->size, buffer, size);
	file->size += size;
	file->data[file->size] = '\0';
	return (ssize_t)size;
}

/* Lists each name once, one a call, as the kernel's struct linux_dirent64. */
ssize_t sys_list(int fd, void *buffer, size_t size)
{
	struct handle *handle = &handles[fd];
	size_t length = strlen(handle->path), seen = 0;

	if (!handle->folder)
		return -ENOTDIR;
	for (size_t i = 0; i < file_count; i++) {
		const char *name = files[i].path + length + 1;
		size_t n, j;
		unsigned short record;

		if (strncmp(files[i].path, handle->path, length) != 0 || files[i].path[length] != '/')
			continue;
		n = strcspn(name, "/");
		for (j = 0; j < i; j++)
			if (strncmp(files[j].path, files[i].path, length + 1 + n) == 0 &&
			    (files[j].path[length + 1 + n] == '/' || !files[j].path[length + 1 + n]))
				break;
		if (j < i || seen++ < handle->entries)
			continue;
		handle->entries++;
		record = (unsigned short)((19 + n + 1 + 7) / 8 * 8);
		if (record > size)
			abort();
		memset(buffer, 0, record);
		memcpy((char *)buffer + 16, &record, 2);
		memcpy((char *)buffer + 19, name, n);
		return record;
	}
	return 0;
}

int sys_mkdir(const char *path, unsigned mode)
{
	fake_trace("mkdir %s %o\n", path, mode);
	return 0;
}

int sys_chmod(const char *path, unsigned mode)
{
	fake_trace("chmod %s %o\n", path, mode);
	return 0;
}

int sys_symlink(const char *target, const char *path)
{
	fake_trace("symlink %s %s\n", target, path);
	return 0;
}

int sys_rename(const char *from, const char *to)
{
	struct file *file = find(from);

	fake_trace("rename %s %s\n", from, to);
	fake_remove(to);
	if (file)
		snprintf(file->path, sizeof file->path, "%s", to);
	return file ? 0 : -ENOENT;
}

bool sys_exists(const char *path) { return find(path) || is_folder(path); }

ssize_t sys_readlink(const char *path, char *buffer, size_t size)
{
	(void)path, (void)buffer, (void)size;
	return -EINVAL;
}

int64_t sys_file_size(int fd) { return handles[fd].file ? (int64_t)handles[fd].file->size : 0; }

const void *sys_map(int fd, size_t size)
{
	return size ? handles[fd].file->data : NULL;
}

int sys_remove(const char *path)
{
	fake_trace("remove %s\n", path);
	fake_remove(path);
	return 0;
}

int sys_pipe(int ret_ends[2])
{
	static int number;
	char name[32];
	struct file *file;

	snprintf(name, sizeof name, "pipe:%d", number++);
	file = make(name);
	file->pipe = true;
	ret_ends[0] = new_handle(file, name);
	ret_ends[1] = new_handle(file, name);
	return 0;
}

int sys_load_module(int fd, bool compressed)
{
	fake_trace("load %s%s\n", handles[fd].path, compressed ? " compressed" : "");
	return 0;
}

int sys_listen(const char *path, bool datagrams)
{
	fake_trace("listen %s%s\n", path, datagrams ? " for datagrams" : "");
	return new_handle(make(path), path);
}

int sys_accept(int fd)
{
	(void)fd;
	if (!fake.connections)
		return -EAGAIN;
	fake.connections--;
	return new_handle(make("/conn"), "/conn");
}
