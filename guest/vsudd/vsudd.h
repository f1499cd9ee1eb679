/* What the parts of vsudd share. */
#pragma once

#include <stdint.h>

#define CID_ANYBODY UINT32_MAX /* VMADDR_CID_ANY */
#define CID_HOST 2u            /* VMADDR_CID_HOST */

/*
 * The sockets of hypervisors (vsock(7)).  Descriptors are close-on-exec, a listener's does not block;
 * else a negative errno.
 */
int vsock_listen(uint32_t port);
int vsock_accept(int listener, uint32_t *ret_cid);
int vsock_connect(uint32_t cid, uint32_t port);

/*
 * Passes bytes on between two stream sockets, both ways, until both have ended.  A side that ends its
 * own way may still listen: the end is passed on, as the bytes are.
 */
void relay(int one, int other);
