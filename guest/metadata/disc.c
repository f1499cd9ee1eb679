/* CDs and disks with a configuration on them, and what the hypervisor says through its firmware. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#include "provider.h"
#include "store.h"

#define PLACE "/mnt"
#define FW_CFG "/sys/firmware/qemu_fw_cfg/by_name/opt"
#define DMI "/sys/firmware/dmi/entries"
#define CREDENTIAL "io.systemd.credentials:"

/* The label of an ISO 9660 (ECMA-119 section 8.4) or FAT (boot sector) file system, else "". */
static void read_label(int fd, char label[33])
{
	unsigned char sector[2048];
	size_t length = 0;

	if (pread(fd, sector, sizeof sector, 16 * 2048) == sizeof sector && memcmp(sector, "\1CD001", 6) == 0) {
		memcpy(label, sector + 40, 32);
		length = 32;
	} else if (pread(fd, sector, 512, 0) == 512 && sector[510] == 0x55 && sector[511] == 0xaa) {
		/* the longer form is that of FAT32 */
		size_t at = memcmp(sector + 82, "FAT32", 5) == 0 ? 71 : memcmp(sector + 54, "FAT", 3) == 0 ? 43 : 0;

		if (at) {
			memcpy(label, sector + at, 11);
			length = 11;
		}
	}
	while (length && (label[length - 1] == ' ' || !label[length - 1]))
		length--;
	label[length] = '\0';
}

static void read_metadata(int folder, const char *path, struct found *found)
{
	size_t length = 0;
	char *text = file_read(folder, path, &length);

	if (text)
		keep_metadata(text, length, found);
	free(text);
}

/* NoCloud, a configuration drive of OpenStack, or the one file that LinuxKit has always read. */
static bool read_files(int folder, struct found *found)
{
	static const char *const names[] = {"user-data", "config", "openstack/latest/user_data"};
	size_t length;

	read_metadata(folder, "meta-data", found);
	read_metadata(folder, "openstack/latest/meta_data.json", found);
	for (size_t i = 0; i < sizeof names / sizeof names[0] && !found->userdata; i++) {
		char *data = file_read(folder, names[i], &length);

		if (data)
			keep_userdata(found, data, length);
		free(data);
	}
	return found->userdata || found->hostname[0];
}

static bool look_at_device(const char *name, struct found *found)
{
	static const char *const kinds[] = {"iso9660", "vfat"};
	static const char *const labels[] = {"cidata", "config-2"};
	char path[300], label[33] = "";
	bool wanted = strncmp(name, "sr", 2) == 0, done = false;
	int fd, folder;

	snprintf(path, sizeof path, "/dev/%s", name);
	fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
	if (fd < 0)
		return false;
	read_label(fd, label);
	close(fd);
	for (size_t i = 0; i < sizeof labels / sizeof labels[0]; i++)
		wanted = wanted || strcasecmp(label, labels[i]) == 0;
	for (size_t i = 0; wanted && i < sizeof kinds / sizeof kinds[0]; i++) {
		if (mount(path, PLACE, kinds[i], MS_RDONLY | MS_NOSUID | MS_NODEV | MS_NOEXEC, "") < 0)
			continue;
		folder = open(PLACE, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
		if (folder >= 0) {
			done = read_files(folder, found);
			close(folder);
		}
		(void)umount2(PLACE, MNT_DETACH);
		break;
	}
	return done;
}

bool disc_look(const struct provider *provider, struct found *found)
{
	DIR *folder = opendir("/sys/class/block");
	const struct dirent *entry;
	bool done = false;

	(void)provider;
	if (!folder)
		return false;
	while (!done && (entry = readdir(folder)))
		done = entry->d_name[0] != '.' && look_at_device(entry->d_name, found);
	closedir(folder);
	return done;
}

/* A credential: user data and the name are what they say, all others are kept for who asks. */
static void keep_credential(const char *name, const char *value, size_t length, struct found *found)
{
	char path[300];

	if (strcmp(name, "userdata") == 0) {
		keep_userdata(found, value, length);
	} else if (strcmp(name, "system.hostname") == 0) {
		keep_hostname(found, value);
	} else if (strcmp(name, "ssh.authorized_keys.root") == 0) {
		keep_keys(value);
	} else {
		snprintf(path, sizeof path, "credentials/%s", name);
		(void)store_write(path, value, length, 0600);
	}
}

/* https://www.qemu.org/docs/master/specs/fw_cfg.html: -fw_cfg name=opt/io.systemd.credentials/NAME,string=… */
static bool look_at_fw_cfg(struct found *found)
{
	DIR *folder = opendir(FW_CFG "/io.systemd.credentials");
	const struct dirent *entry;
	bool done = false;
	char path[300];

	while (folder && (entry = readdir(folder))) {
		size_t length;
		char *data;

		if (entry->d_name[0] == '.')
			continue;
		snprintf(path, sizeof path, "%s/raw", entry->d_name);
		data = file_read(dirfd(folder), path, &length);
		if (data) {
			keep_credential(entry->d_name, data, length, found);
			done = true;
		}
		free(data);
	}
	if (folder)
		closedir(folder);
	return done;
}

/* The strings behind the fixed part of an entry of type 11 (SMBIOS 3.7 section 7.12). */
static bool read_strings(const char *data, size_t length, struct found *found)
{
	size_t at = length > 1 ? (unsigned char)data[1] : length;
	bool done = false;
	char name[256];

	while (at < length && data[at]) {
		const char *text = data + at, *equals = strchr(text, '=');
		size_t size = strnlen(text, length - at);

		at += size + 1;
		if (strncmp(text, CREDENTIAL, sizeof CREDENTIAL - 1) != 0 || !equals)
			continue;
		text += sizeof CREDENTIAL - 1;
		if (equals < text || (size_t)(equals - text) >= sizeof name)
			continue;
		snprintf(name, sizeof name, "%.*s", (int)(equals - text), text);
		keep_credential(name, equals + 1, strlen(equals + 1), found);
		done = true;
	}
	return done;
}

static bool look_at_dmi(struct found *found)
{
	DIR *folder = opendir(DMI);
	const struct dirent *entry;
	bool done = false;
	char path[300];

	while (folder && (entry = readdir(folder))) {
		size_t length;
		char *data;

		if (strncmp(entry->d_name, "11-", 3) != 0)
			continue;
		snprintf(path, sizeof path, "%s/raw", entry->d_name);
		data = file_read(dirfd(folder), path, &length);
		if (data)
			done = read_strings(data, length, found) || done;
		free(data);
	}
	if (folder)
		closedir(folder);
	return done;
}

bool firmware_look(const struct provider *provider, struct found *found)
{
	bool by_fw_cfg = look_at_fw_cfg(found), by_dmi = look_at_dmi(found);

	(void)provider;
	return by_fw_cfg || by_dmi;
}
