#pragma once
/* Commands to VMware ("RPCI"), as open-vm-tools sends them through the backdoor. */
#include <stdbool.h>
#include <stddef.h>

#define RPC_MAGIC 0x564d5868U
#define RPC_PORT 0x5658U
#define RPC_VERSION 10U

/* Sends the command; its answer, ended by a NUL and to be freed, or NULL when there is none or it is
 * no success. */
char *rpc_ask(const char *command, size_t *ret_length);
