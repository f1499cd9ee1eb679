#!/bin/sh
# Gets addresses for the wired interfaces from their networks' DHCP servers.
#   udhcpc.sh [INTERFACE ...]       keeps the leases, for ever
#   udhcpc.sh -1 [INTERFACE ...]    asks once; fails when no interface gets an answer in 30 s
# Without names: all interfaces called eth* or en*.
set -u

once=no
if [ "${1:-}" = -1 ]; then
	once=yes
	shift
fi
if [ $# -eq 0 ]; then
	for path in /sys/class/net/eth* /sys/class/net/en*; do
		[ ! -e "$path" ] || set -- "$@" "${path##*/}"
	done
fi
if [ $# -eq 0 ]; then
	echo "udhcpc: this machine has no interface called eth* or en*" >&2
	exit 1
fi

if [ "$once" = yes ]; then
	mode='-q -n -t 10 -T 3' # quit with the lease, or without one after ten tries
else
	mode='-t 3 -T 3 -A 10'
fi
children=
for interface; do
	ip link set "$interface" up
	# shellcheck disable=SC2086  # several words on purpose
	busybox udhcpc -f $mode -i "$interface" -s /usr/lib/udhcpc/lease -x "hostname:$(hostname)" \
		-O search -O staticroutes -O mtu &
	children="$children $!"
done
# shellcheck disable=SC2086,SC2317  # several words on purpose; the trap calls it
stop() { kill $children; }
trap 'stop; exit 0' TERM INT

status=1
for child in $children; do
	if wait "$child"; then status=0; fi
done
exit "$status"
