#!/bin/sh
# Makes a WireGuard tunnel as a file of wg-quick(8) says.
#   wireguard NAME|FILE       NAME stands for /etc/wireguard/NAME.conf
# Of wg-quick's own keys Address, MTU and Table = off are known; DNS and commands are refused.
set -u

die() {
	echo "wireguard: $1" >&2
	exit 1
}

case "${1:-}" in
'' | -*)
	echo "usage: wireguard NAME|FILE" >&2
	exit 2
	;;
*/*) file=$1 ;;
*) file=/etc/wireguard/$1.conf ;;
esac
name=${file##*/}
name=${name%.conf}
[ -r "$file" ] || die "there is no file $file"

# What wg itself reads goes to $settings, the rest into variables.
settings='' addresses='' mtu='' table=auto section='' networks=''
while IFS= read -r line || [ -n "$line" ]; do
	plain=${line%%#*}
	key=${plain%%=*}
	value=${plain#*=}
	while [ "$key" != "${key%[[:space:]]}" ]; do key=${key%?}; done
	while [ "$key" != "${key#[[:space:]]}" ]; do key=${key#?}; done
	while [ "$value" != "${value#[[:space:]]}" ]; do value=${value#?}; done
	while [ "$value" != "${value%[[:space:]]}" ]; do value=${value%?}; done
	case "$key" in
	'['*) section=$key ;;
	esac
	case "$section $key" in
	'[Interface] Address') addresses="$addresses,$value" ;;
	'[Interface] MTU') mtu=$value ;;
	'[Interface] Table') table=$value ;;
	'[Interface] DNS' | '[Interface] '*Up | '[Interface] '*Down | '[Interface] SaveConfig')
		die "$file: \"$key\" is not possible here"
		;;
	'[Peer] AllowedIPs')
		networks="$networks,$value"
		settings="$settings$line
"
		;;
	*)
		settings="$settings$line
"
		;;
	esac
done <"$file"
case "$table" in
auto | off) ;;
*) die "$file: Table can be auto or off" ;;
esac

ip link show dev "$name" >/dev/null 2>&1 || ip link add name "$name" type wireguard ||
	die "the kernel cannot make a tunnel"
wg setconf "$name" /dev/stdin <<-END || die "$file: wg does not take it"
	$settings
END
[ -z "$mtu" ] || ip link set dev "$name" mtu "$mtu" || die "$file: MTU $mtu is not possible"
IFS=', '
for address in $addresses; do
	[ -z "$address" ] || ip address replace "$address" dev "$name" || die "$file: Address $address is not possible"
done
ip link set dev "$name" up || die "$name cannot be brought up"
for network in $networks; do
	[ -z "$network" ] || [ "$table" = off ] || ip route replace "$network" dev "$name" ||
		die "$file: there can be no route to $network"
done
echo "wireguard: $name is up, public key $(wg show "$name" public-key)"
