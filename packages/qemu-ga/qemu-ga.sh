#!/bin/sh
# Finds the agent's port and starts the agent.  Arguments go to it.
set -eu

name=org.qemu.guest_agent.0
port=
for path in /sys/class/virtio-ports/*; do
	if [ -r "$path/name" ] && [ "$(cat "$path/name")" = "$name" ]; then port=/dev/${path##*/}; fi
done
if [ -z "$port" ]; then
	echo "qemu-ga: this machine has no virtio port \"$name\"" >&2
	exit 1
fi
exec /usr/sbin/qemu-ga --method virtio-serial --path "$port" --statedir /run --pidfile /run/qemu-ga.pid \
	--block-rpcs guest-exec,guest-exec-status,guest-file-open,guest-file-read,guest-file-write,guest-set-user-password,guest-ssh-add-authorized-keys "$@"
