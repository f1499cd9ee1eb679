#!/bin/sh
# Makes the host keys that are missing, then becomes the SSH server.  Arguments go to sshd.
set -eu

# the usual commands for those who log in (and for this script)
/usr/bin/busybox --install -s /usr/bin

keys=/var/lib/sshd
mkdir -p "$keys" /run/sshd
chmod 0755 /run/sshd

for type in ed25519 ecdsa; do
	key=$keys/ssh_host_${type}_key
	if [ ! -s "$key" ]; then
		# made aside and moved: a machine that stops halfway has no half key
		rm -f "$key.new" "$key.new.pub"
		ssh-keygen -q -t "$type" -N '' -C '' -f "$key.new"
		mv "$key.new.pub" "$key.pub"
		mv "$key.new" "$key"
	fi
	ssh-keygen -l -f "$key.pub"
done

if [ ! -s /root/.ssh/authorized_keys ] && [ ! -s /run/config/ssh/authorized_keys ]; then
	echo "sshd: no authorized_keys in /root/.ssh or /run/config/ssh yet: nobody can log in" >&2
fi
exec /usr/sbin/sshd -D -e "$@"
