#!/bin/sh
# Called by udhcpc when a lease begins, changes or ends.
set -eu

: "${interface:?}" "${ip:=}" "${mask:=}"

resolv=/run/resolvconf/resolv.conf
state=/tmp/resolv

write_resolv() { # what this interface's lease says, with that of the others
	printf '%s' "$1" >"$state.$interface"
	all=
	for file in "$state".*; do
		while IFS= read -r line; do
			all="$all$line
"
		done <"$file"
	done
	printf '%s' "$all" >"$resolv"
}

case "$1" in
bound | renew)
	ip -4 addr flush dev "$interface" 2>/dev/null || true
	ip addr add "$ip/$mask" ${broadcast:+broadcast "$broadcast"} dev "$interface"
	if [ -n "${mtu:-}" ]; then ip link set "$interface" mtu "$mtu"; fi
	if [ -n "${staticroutes:-}" ]; then
		# pairs of network and gateway; where they are given the router is not used (RFC 3442)
		# shellcheck disable=SC2086  # several words on purpose
		set -- $staticroutes
		while [ $# -ge 2 ]; do
			case "$2" in
			0.0.0.0) ip route replace "$1" dev "$interface" ;;
			*) ip route replace "$1" via "$2" dev "$interface" ;;
			esac
			shift 2
		done
	else
		for gateway in ${router:-}; do
			ip route replace default via "$gateway" dev "$interface"
			break
		done
	fi
	text=
	if [ -n "${search:-${domain:-}}" ]; then
		text="search ${search:-$domain}
"
	fi
	for server in ${dns:-}; do
		text="${text}nameserver $server
"
	done
	if [ -n "${dns:-}" ] || [ -e "$state.$interface" ]; then write_resolv "$text"; fi
	echo "udhcpc: $interface has $ip/$mask"
	;;
deconfig)
	ip -4 addr flush dev "$interface"
	if [ -e "$state.$interface" ]; then write_resolv ''; fi
	;;
leasefail | nak)
	echo "udhcpc: $interface: no lease${message:+ ($message)}" >&2
	;;
esac
