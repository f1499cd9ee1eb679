/*
 * One command is one channel: open, the length of the command, its bytes four at a time, the length of the
 * answer, its bytes, close.  https://github.com/vmware/open-vm-tools: lib/message, lib/include/guest_msg_def.h.
 */
#include "rpc.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "backdoor.h"
#include "http.h"

#define MESSAGE 30U
#define PROTOCOL 0x49435052U

enum step { OPEN, SEND_SIZE, SEND_BYTES, RECEIVE_SIZE, RECEIVE_BYTES, RECEIVED, CLOSE };
enum { SUCCESS = 1, HAS_ANSWER = 2 }; /* of a step */

struct channel {
	uint32_t number; /* where the port goes along */
	uint32_t value;  /* what the last step brought */
};

/* One step; the bits of its status. */
static unsigned do_step(struct channel *channel, enum step step, uint32_t value)
{
	struct backdoor call = {RPC_MAGIC, value, MESSAGE | (uint32_t)step << 16, channel->number | RPC_PORT};

	backdoor_call(&call);
	if (step == OPEN)
		channel->number = call.d & 0xffff0000U;
	channel->value = call.b;
	return call.c >> 16;
}

static bool send_bytes(struct channel *channel, const char *bytes, size_t length)
{
	if (!(do_step(channel, SEND_SIZE, (uint32_t)length) & SUCCESS))
		return false;
	while (length) {
		size_t size = length < 4 ? length : 4;
		uint32_t value = 0;

		memcpy(&value, bytes, size);
		if (!(do_step(channel, SEND_BYTES, value) & SUCCESS))
			return false;
		bytes += size;
		length -= size;
	}
	return true;
}

static char *receive_bytes(struct channel *channel, size_t *ret_length)
{
	unsigned status = do_step(channel, RECEIVE_SIZE, 0);
	size_t length = channel->value;
	char *bytes;

	if (!(status & SUCCESS) || !(status & HAS_ANSWER) || length > MAX_BODY)
		return NULL;
	bytes = malloc(length + 1);
	for (size_t at = 0; bytes && at < length; at += 4) {
		if (!(do_step(channel, RECEIVE_BYTES, SUCCESS) & SUCCESS)) {
			free(bytes);
			return NULL;
		}
		memcpy(bytes + at, &channel->value, length - at < 4 ? length - at : 4);
	}
	if (!bytes || !(do_step(channel, RECEIVED, SUCCESS) & SUCCESS)) {
		free(bytes);
		return NULL;
	}
	bytes[length] = '\0';
	*ret_length = length;
	return bytes;
}

char *rpc_ask(const char *command, size_t *ret_length)
{
	struct channel channel = {0};
	char *answer = NULL;

	if (!(do_step(&channel, OPEN, PROTOCOL) & SUCCESS))
		return NULL;
	if (send_bytes(&channel, command, strlen(command)))
		answer = receive_bytes(&channel, ret_length);
	(void)do_step(&channel, CLOSE, 0);
	if (answer && (*ret_length < 2 || memcmp(answer, "1 ", 2) != 0)) { /* "0 No value found" */
		free(answer);
		return NULL;
	}
	if (answer) {
		*ret_length -= 2;
		memmove(answer, answer + 2, *ret_length + 1);
	}
	return answer;
}
