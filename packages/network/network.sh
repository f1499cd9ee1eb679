#!/bin/sh
# Sets up the network as the files in /etc/network say, which the build has made.
#   network links         waits for the cards, names them, works off ip.batch, writes down name servers
#   network wireguard     gives tunnels their peers and keys; makes a private key that is not there
set -u

folder=/etc/network
tries_left=100 # of a tenth of a second, for all cards together

say() { echo "network: $1"; }
die() {
	echo "network: $1" >&2
	exit 1
}

# Sets $found to the name of the card with that address, "" when there is none.
find_card() { # ADDRESS
	found=
	all=$(ip -o link show) || die "the kernel does not tell its interfaces"
	while IFS= read -r line; do
		case "$line" in
		*"link/ether $1 "*) ;;
		*) continue ;;
		esac
		line=${line#*: }
		line=${line%%:*}
		found=${line%%@*}
		return
	done <<-END
		$all
	END
}

wait_for() { # NAME ADDRESS: sets $found
	while :; do
		found=
		if [ "$2" != - ]; then
			find_card "$2"
		elif ip link show dev "$1" >/dev/null 2>&1; then
			found=$1
		fi
		[ -z "$found" ] || return
		tries_left=$((tries_left - 1))
		if [ "$tries_left" -lt 0 ]; then
			[ "$2" = - ] || die "no network card has the address $2 (\"$1\"); there are: $(ip -br link)"
			die "there is no network interface \"$1\"; there are: $(ip -br link)"
		fi
		sleep 0.1
	done
}

# Two cards may have each other's names: first all get names that nobody has.
name_cards() {
	number=0
	renamed=
	while read -r name mac; do
		wait_for "$name" "$mac"
		[ "$found" != "$name" ] || continue
		number=$((number + 1))
		if ! { ip link set dev "$found" down && ip link set dev "$found" name "renamed$number"; }; then
			die "$found ($mac) cannot be renamed"
		fi
		renamed="$renamed$number $name
"
		say "$found is $name ($mac)"
	done <"$folder/links"
	while read -r number name; do
		[ -z "$number" ] || ip link set dev "renamed$number" name "$name" ||
			die "no card can be named \"$name\": another one is"
	done <<-END
		$renamed
	END
}

# An IPv6 address cannot be used until the kernel knows that nobody else has it.
wait_for_addresses() {
	tries=30
	while [ "$tries" -gt 0 ] && [ -n "$(ip -6 -o address show scope global tentative -dadfailed)" ]; do
		tries=$((tries - 1))
		sleep 0.1
	done
}

# The kernel's module makes a bond0 by itself when it is loaded, with settings that nobody wants.
forget_first_bond() {
	case "$(cat "$folder/ip.batch")" in
	*' type bond '*)
		ip link add name renamed0 type bond || die "the kernel has no bonds"
		ip link delete dev renamed0
		ip link delete dev bond0 2>/dev/null
		;;
	esac
}

set_up_links() {
	name_cards
	forget_first_bond
	ip -batch "$folder/ip.batch" || die "the line of ip.batch that is named above cannot be done"
	wait_for_addresses
	if [ -e "$folder/resolv.conf" ]; then
		cat "$folder/resolv.conf" >/run/resolvconf/resolv.conf || die "cannot write down the name servers"
	fi
	ip -br address
}

set_up_key() { # INTERFACE PEER-OR-"-" FILE ITS-NAME-IN-THE-MACHINE
	if [ "$2" != - ]; then
		[ -s "$3" ] || die "$1: there is no key in $4"
		wg set "$1" peer "$2" preshared-key "$3" || die "$1: $4 is not a key"
		return
	fi
	if [ ! -s "$3" ]; then
		# made aside and moved: a machine that stops halfway has no half key
		rm -f "$3.new"
		if ! { (umask 077 && wg genkey >"$3.new") && mv "$3.new" "$3"; }; then
			die "$1: cannot make a key in $4"
		fi
		say "$1: made a key in $4"
	fi
	wg set "$1" private-key "$3" || die "$1: $4 is not a key"
	say "$1: public key $(wg show "$1" public-key)"
}

set_up_tunnels() {
	while read -r name peer file shown; do
		if [ "$peer" = - ]; then
			wg setconf "$name" "$folder/$name.conf" || die "$name: its peers cannot be set"
		fi
		set_up_key "$name" "$peer" "$file" "$shown"
	done <"$folder/keys"
}

case "${1:-}" in
links) set_up_links ;;
wireguard) set_up_tunnels ;;
*)
	echo "usage: network links|wireguard" >&2
	exit 2
	;;
esac
