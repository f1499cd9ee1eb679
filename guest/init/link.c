/* Requests of rtnetlink(7): interfaces that are made, moved and looked for. */
#include "link.h"

#include <errno.h>
#include <linux/rtnetlink.h>
#include <linux/veth.h>
#include <string.h>

#include "../include/layout.h"
#include "sys.h"
#include "text.h"

#define STEP_MS 50

struct request {
	struct nlmsghdr head;
	struct ifinfomsg link;
	char attributes[256]; /* two names, a kind and a pid, with their heads: half of it */
};

static struct request request_of(unsigned type, unsigned flags)
{
	return (struct request){
		.head = {
			.nlmsg_len = NLMSG_LENGTH(sizeof(struct ifinfomsg)), .nlmsg_type = (uint16_t)type,
			.nlmsg_flags = (uint16_t)(NLM_F_REQUEST | NLM_F_ACK | flags),
		},
	};
}

/* Adds an attribute; returns where it begins, for others that go into it. */
static uint32_t add(struct request *request, unsigned short type, const void *data, size_t size)
{
	uint32_t at = request->head.nlmsg_len;
	struct rtattr head = {.rta_len = (unsigned short)RTA_LENGTH(size), .rta_type = type};

	memcpy((char *)request + at, &head, sizeof head);
	if (size)
		memcpy((char *)request + at + RTA_LENGTH(0), data, size);
	request->head.nlmsg_len += RTA_ALIGN(head.rta_len);
	return at;
}

/* Everything since then is in the attribute. */
static void enclose(struct request *request, uint32_t at)
{
	unsigned short length = (unsigned short)(request->head.nlmsg_len - at);

	memcpy((char *)request + at, &length, sizeof length); /* rta_len comes first */
}

static void add_text(struct request *request, unsigned short type, const char *text)
{
	(void)add(request, type, text, strlen(text) + 1);
}

static int make(const struct given_link *link, int pid)
{
	struct request request = request_of(RTM_NEWLINK, NLM_F_CREATE | NLM_F_EXCL);
	const struct ifinfomsg other = {0};
	uint32_t info, data, peer;

	add_text(&request, IFLA_IFNAME, link->name);
	if (!link->outside)
		(void)add(&request, IFLA_NET_NS_PID, &pid, sizeof pid);
	info = add(&request, IFLA_LINKINFO, NULL, 0);
	add_text(&request, IFLA_INFO_KIND, link->kind);
	if (*link->peer) {
		data = add(&request, IFLA_INFO_DATA, NULL, 0);
		peer = add(&request, VETH_INFO_PEER, &other, sizeof other);
		add_text(&request, IFLA_IFNAME, link->peer);
		enclose(&request, peer);
		enclose(&request, data);
	}
	enclose(&request, info);
	return sys_ask_routes(&request, request.head.nlmsg_len);
}

static int about(unsigned type, const char *name, int pid)
{
	struct request request = request_of(type, 0);

	add_text(&request, IFLA_IFNAME, name);
	if (pid)
		(void)add(&request, IFLA_NET_NS_PID, &pid, sizeof pid);
	return sys_ask_routes(&request, request.head.nlmsg_len);
}

/* Whether the process has it: asked in its network, and back in ours. */
static int is_there(const char *name, int pid)
{
	TEXT(network, 64);
	int done, back;

	text_add(&network, "/proc/");
	text_add_number(&network, pid);
	text_add(&network, "/ns/net");
	done = sys_join_namespace(network.data);
	if (done < 0)
		return done;
	done = about(RTM_GETLINK, name, 0);
	back = sys_join_namespace("/proc/1/ns/net");
	return back < 0 ? back : done == -ENODEV ? 0 : done < 0 ? done : 1;
}

static int give(const struct given_link *link, int pid)
{
	int done = *link->kind ? make(link, pid) : 0;

	if (done < 0 || (*link->kind && !link->outside))
		return done;
	done = about(RTM_SETLINK, link->name, pid);
	if (done < 0 && *link->kind) /* such as a bridge, which cannot move */
		(void)about(RTM_DELLINK, link->name, 0);
	return done;
}

int link_give(const struct given_link *link, int pid, int64_t until)
{
	int late = *link->kind ? -EEXIST : -ENODEV;
	int done = is_there(link->name, pid);

	if (done)
		return done < 0 ? done : 0;
	while ((done = give(link, pid)) == late && sys_now() < until)
		sys_rest(STEP_MS);
	return done;
}
