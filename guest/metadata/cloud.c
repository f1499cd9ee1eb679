/* The metadata servers of clouds, each as its documentation describes it. */
#include <stdio.h>
#include <string.h>

#include "http.h"
#include "json.h"
#include "provider.h"
#include "store.h"

#define LINK_LOCAL "169.254.169.254"

static struct answer answer;

static bool get(const struct provider *provider, const char *path, const char *fields)
{
	return http_ask(provider->address, "GET", path, fields, false, &answer);
}

/* A fact of one line, kept as a file of that name. */
static void keep_fact(const struct provider *provider, const char *path, const char *fields, const char *name)
{
	if (get(provider, path, fields) && answer.length < 4096)
		store_text(name, answer.body);
}

static void ask_hostname(const struct provider *provider, const char *path, const char *fields, struct found *found)
{
	if (get(provider, path, fields))
		keep_hostname(found, answer.body);
}

static void ask_userdata(const struct provider *provider, const char *path, const char *fields, struct found *found)
{
	if (get(provider, path, fields))
		keep_userdata(found, answer.body, answer.length);
}

/* All texts of a list, or the one text, as keys. */
static void keep_json_keys(const struct json *said, const char *member)
{
	if (said && said->kind == JSON_TEXT)
		keep_keys(said->text);
	if (!said || (said->kind != JSON_LIST && said->kind != JSON_MAP))
		return;
	for (const struct json *key = said->first; key; key = key->next)
		keep_keys(member ? json_text(key, member) : key->kind == JSON_TEXT ? key->text : NULL);
}

/* https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/instancedata-data-retrieval.html, version 2 */
static bool look_at_aws(const struct provider *provider, struct found *found)
{
	static char list[65536];
	char fields[1200], path[128];

	if (!http_ask(provider->address, "PUT", "/latest/api/token",
		      "X-aws-ec2-metadata-token-ttl-seconds: 300\r\n", false, &answer) ||
	    !answer.length || answer.length > 1024 || strpbrk(answer.body, "\r\n"))
		return false;
	snprintf(fields, sizeof fields, "X-aws-ec2-metadata-token: %.1024s\r\n", answer.body);
	if (!get(provider, "/latest/meta-data/instance-id", fields))
		return false;
	store_text("instance_id", answer.body);
	ask_hostname(provider, "/latest/meta-data/local-hostname", fields, found);
	keep_fact(provider, "/latest/meta-data/public-ipv4", fields, "public_ipv4");
	keep_fact(provider, "/latest/meta-data/local-ipv4", fields, "local_ipv4");
	keep_fact(provider, "/latest/meta-data/placement/availability-zone", fields, "availability_zone");
	ask_userdata(provider, "/latest/user-data", fields, found);
	if (get(provider, "/latest/meta-data/public-keys/", fields) && answer.length < sizeof list) {
		memcpy(list, answer.body, answer.length + 1);
		for (char *line = strtok(list, "\r\n"); line; line = strtok(NULL, "\r\n")) {
			size_t digits = strspn(line, "0123456789"); /* "0=my-key" */

			if (!digits || digits > 9 || line[digits] != '=')
				continue;
			snprintf(path, sizeof path, "/latest/meta-data/public-keys/%.*s/openssh-key", (int)digits, line);
			if (get(provider, path, fields))
				keep_keys(answer.body);
		}
	}
	return true;
}

/* Lines "USER:KEY" */
static void keep_gcp_keys(void)
{
	for (char *line = strtok(answer.body, "\n"); line; line = strtok(NULL, "\n")) {
		char *colon = strchr(line, ':');

		keep_keys(colon ? colon + 1 : NULL);
	}
}

/* https://cloud.google.com/compute/docs/metadata/querying-metadata */
static bool look_at_gcp(const struct provider *provider, struct found *found)
{
	static const char fields[] = "Metadata-Flavor: Google\r\n";
	const char *flavour;

	if (!get(provider, "/computeMetadata/v1/instance/hostname", fields))
		return false;
	flavour = http_field(&answer, "Metadata-Flavor");
	if (!flavour || strcmp(flavour, "Google") != 0)
		return false;
	keep_hostname(found, answer.body);
	keep_fact(provider, "/computeMetadata/v1/instance/id", fields, "instance_id");
	ask_userdata(provider, "/computeMetadata/v1/instance/attributes/userdata", fields, found);
	ask_userdata(provider, "/computeMetadata/v1/instance/attributes/user-data", fields, found);
	if (get(provider, "/computeMetadata/v1/project/attributes/ssh-keys", fields))
		keep_gcp_keys();
	if (get(provider, "/computeMetadata/v1/instance/attributes/ssh-keys", fields))
		keep_gcp_keys();
	return true;
}

/* https://learn.microsoft.com/azure/virtual-machines/instance-metadata-service */
static bool look_at_azure(const struct provider *provider, struct found *found)
{
	static const char fields[] = "Metadata: true\r\n";
	const struct json *compute;

	if (!get(provider, "/metadata/instance?api-version=2021-02-01", fields))
		return false;
	compute = json_get(json_read(answer.body, answer.length), "compute");
	if (!json_text(compute, "vmId"))
		return false;
	store_text("instance_id", json_text(compute, "vmId"));
	store_text("location", json_text(compute, "location"));
	keep_hostname(found, json_text(compute, "name"));
	keep_json_keys(json_get(compute, "publicKeys"), "keyData");
	if (get(provider, "/metadata/instance/compute/userData?api-version=2021-01-01&format=text", fields)) {
		long length = decode_base64(answer.body);

		if (length > 0)
			keep_userdata(found, answer.body, (size_t)length);
	}
	return true;
}

/* https://docs.openstack.org/nova/latest/user/metadata.html */
static bool look_at_openstack(const struct provider *provider, struct found *found)
{
	const struct json *said;

	if (!get(provider, "/openstack/latest/meta_data.json", ""))
		return false;
	said = json_read(answer.body, answer.length);
	if (!json_text(said, "uuid"))
		return false;
	store_text("instance_id", json_text(said, "uuid"));
	store_text("availability_zone", json_text(said, "availability_zone"));
	keep_hostname(found, json_text(said, "hostname"));
	keep_json_keys(json_get(said, "public_keys"), NULL);
	ask_userdata(provider, "/openstack/latest/user_data", "", found);
	return true;
}

/* https://docs.hetzner.cloud/reference/cloud#server-metadata */
static bool look_at_hetzner(const struct provider *provider, struct found *found)
{
	if (!get(provider, "/hetzner/v1/metadata/instance-id", ""))
		return false;
	store_text("instance_id", answer.body);
	ask_hostname(provider, "/hetzner/v1/metadata/hostname", "", found);
	keep_fact(provider, "/hetzner/v1/metadata/public-ipv4", "", "public_ipv4");
	keep_fact(provider, "/hetzner/v1/metadata/region", "", "location");
	ask_userdata(provider, "/hetzner/v1/userdata", "", found);
	if (get(provider, "/hetzner/v1/metadata/public-keys", ""))
		keep_json_keys(json_read(answer.body, answer.length), NULL);
	return true;
}

/* https://docs.digitalocean.com/reference/api/metadata-api/ */
static bool look_at_digitalocean(const struct provider *provider, struct found *found)
{
	if (!get(provider, "/metadata/v1/id", ""))
		return false;
	store_text("instance_id", answer.body);
	ask_hostname(provider, "/metadata/v1/hostname", "", found);
	keep_fact(provider, "/metadata/v1/region", "", "location");
	keep_fact(provider, "/metadata/v1/interfaces/public/0/ipv4/address", "", "public_ipv4");
	ask_userdata(provider, "/metadata/v1/user-data", "", found);
	if (get(provider, "/metadata/v1/public-keys", ""))
		keep_keys(answer.body);
	return true;
}

/* https://www.vultr.com/metadata/ */
static bool look_at_vultr(const struct provider *provider, struct found *found)
{
	const struct json *said;

	if (!get(provider, "/v1.json", ""))
		return false;
	said = json_read(answer.body, answer.length);
	if (!json_text(said, "instanceid"))
		return false;
	store_text("instance_id", json_text(said, "instanceid"));
	keep_hostname(found, json_text(said, "hostname"));
	store_text("location", json_text(json_get(said, "region"), "regioncode"));
	keep_json_keys(json_get(said, "public-keys"), NULL);
	ask_userdata(provider, "/user-data/user-data", "", found);
	return true;
}

/* https://www.scaleway.com/en/docs/instances/: user data is for ports below 1024 */
static bool look_at_scaleway(const struct provider *provider, struct found *found)
{
	const struct json *said;

	if (!get(provider, "/conf?format=json", ""))
		return false;
	said = json_read(answer.body, answer.length);
	if (!json_text(said, "id"))
		return false;
	store_text("instance_id", json_text(said, "id"));
	store_text("location", json_text(json_get(said, "location"), "zone_id"));
	store_text("public_ipv4", json_text(json_get(said, "public_ip"), "address"));
	keep_hostname(found, json_text(said, "hostname"));
	keep_json_keys(json_get(said, "ssh_public_keys"), "key");
	if (http_ask(provider->address, "GET", "/user_data/cloud-init", "", true, &answer))
		keep_userdata(found, answer.body, answer.length);
	return true;
}

/* https://deploy.equinix.com/developers/docs/metal/server-metadata/metadata/ */
static bool look_at_equinix(const struct provider *provider, struct found *found)
{
	const struct json *said;
	const char *iqn;

	if (!get(provider, "/metadata", ""))
		return false;
	said = json_read(answer.body, answer.length);
	iqn = json_text(said, "iqn");
	if (!json_text(said, "id") || !iqn || strncmp(iqn, "iqn.", 4) != 0)
		return false;
	store_text("instance_id", json_text(said, "id"));
	store_text("location", json_text(said, "metro"));
	keep_hostname(found, json_text(said, "hostname"));
	keep_json_keys(json_get(said, "ssh_keys"), NULL);
	keep_fact(provider, "/2009-04-04/meta-data/public-ipv4", "", "public_ipv4");
	keep_fact(provider, "/2009-04-04/meta-data/local-ipv4", "", "local_ipv4");
	if (get(provider, "/userdata", "") && strncmp(answer.body, "#!ipxe", 6) != 0)
		keep_userdata(found, answer.body, answer.length); /* a script for iPXE has done its work */
	return true;
}

const struct provider cloud_providers[] = {
	{"aws", LINK_LOCAL, false, look_at_aws},
	{"gcp", LINK_LOCAL, false, look_at_gcp},
	{"azure", LINK_LOCAL, false, look_at_azure},
	{"hetzner", LINK_LOCAL, false, look_at_hetzner},
	{"openstack", LINK_LOCAL, false, look_at_openstack},
	{"vultr", LINK_LOCAL, false, look_at_vultr},
	{"digitalocean", LINK_LOCAL, false, look_at_digitalocean},
	{"scaleway", "169.254.42.42", false, look_at_scaleway},
	{"equinixmetal", "metadata.platformequinix.com", true, look_at_equinix},
};
const size_t cloud_provider_count = sizeof cloud_providers / sizeof cloud_providers[0];
