#!/bin/sh
# Makes a file below /var and swaps to it.
set -u

usage='usage: swap.sh --path FILE --size SIZE [--encrypt] [--debug] [--condition CONDITION ...]
FILE is below /var; SIZE is in bytes, or has the unit K, M or G.  There is no swap, and no failure unless
":true" follows, when a condition does not hold:
  part:PATH[:true]             something is mounted at PATH
  partsize:PATH:SIZE[:true]    the file system with PATH is that large'

path='' size='' encrypt=no conditions=''

say() { echo "swap: $1"; }
die() {
	echo "swap: $1" >&2
	exit 1
}
misuse() {
	echo "swap: $1
$usage" >&2
	exit 2
}

# Sets $bytes to what a size with its unit says.
read_size() { # SIZE
	number=${1%[KMG]}
	case "$number" in
	'' | *[!0-9]* | ?????????????*) misuse "\"$1\" is not a size" ;;
	esac
	case "$1" in
	*K) bytes=$((number * 1024)) ;;
	*M) bytes=$((number * 1024 * 1024)) ;;
	*G) bytes=$((number * 1024 * 1024 * 1024)) ;;
	*) bytes=$number ;;
	esac
}

while [ $# -gt 0 ]; do
	case "$1" in
	--debug) set -x ;;
	--encrypt) encrypt=yes ;;
	--path | --size | --condition)
		[ $# -ge 2 ] || misuse "$1 needs a value"
		case "$1" in
		--path)
			[ -z "$path" ] || misuse "one --path only"
			path=$2
			;;
		--size) size=$2 ;;
		--condition) conditions="$conditions $2" ;;
		esac
		shift
		;;
	-h | --help)
		echo "$usage"
		exit 0
		;;
	*) misuse "unknown option $1" ;;
	esac
	shift
done
[ -n "$path" ] || misuse "--path is missing"
[ -n "$size" ] || misuse "--size is missing"
case "$path/" in
*/../*) misuse "--path must not contain \"..\"" ;;
/var/?*) ;;
*) misuse "--path must lie below /var: \"$path\"" ;;
esac
read_size "$size"
wanted=$bytes
[ "$wanted" -ge 65536 ] || misuse "a swap file of $wanted bytes is too small"

is_mounted() { # PATH
	while read -r _ place _; do
		[ "$place" != "$1" ] || return 0
	done </proc/mounts
	return 1
}

# Sets $held to the size of a file system in KiB, 0 when it is not known.
measure() { # PATH
	held=0
	figures=$(df -kP "$1" 2>/dev/null) || return 0
	while read -r _ blocks _; do
		case "$blocks" in
		*[!0-9]*) ;;
		*) held=$blocks ;;
		esac
	done <<-END
		$figures
	END
}

unmet() { # WHY REQUIRED
	[ "$2" != true ] || die "$1"
	say "$1: no swap"
	exit 0
}

for condition in $conditions; do
	IFS=: read -r kind first second third <<-END
		$condition
	END
	case "$kind" in
	part) is_mounted "$first" || unmet "nothing is mounted at $first" "$second" ;;
	partsize)
		read_size "$second"
		measure "$first"
		[ "$held" -ge $((bytes / 1024)) ] || unmet "$first has $held KiB, less than $second" "$third"
		;;
	*) misuse "unknown condition \"$condition\"" ;;
	esac
done

# A file from an earlier boot is used again; a swap file must not have holes.
if [ ! -f "$path" ] || [ "$(wc -c <"$path")" -ne "$wanted" ]; then
	rm -f "$path"
	(umask 077 && : >"$path") || die "cannot make $path"
	if ! report=$(dd if=/dev/zero of="$path" bs=65536 count=$((wanted / 65536)) 2>&1); then
		rm -f "$path"
		die "cannot write $size to $path: $report"
	fi
fi

device=$path
if [ "$encrypt" = yes ]; then
	# opening these loads the modules
	[ -e /dev/loop-control ] || mknod -m 0660 /dev/loop-control c 10 237 2>/dev/null
	mkdir -p /dev/mapper
	[ -e /dev/mapper/control ] || mknod -m 0600 /dev/mapper/control c 10 236 2>/dev/null
	loop=$(losetup -f 2>&1) || die "no loop device is free: $loop"
	report=$(losetup "$loop" "$path" 2>&1) || die "$loop cannot be $path: $report"
	# the key is random and nowhere kept: what is swapped is lost when the machine stops
	report=$(cryptsetup open --type plain --key-file /dev/urandom --key-size 256 \
		--cipher aes-cbc-essiv:sha256 "$loop" swapfile 2>&1) || die "cannot encrypt $path: $report"
	device=/dev/mapper/swapfile
fi
report=$(mkswap "$device" 2>&1) || die "mkswap $device: $report"
report=$(swapon "$device" 2>&1) || die "cannot swap to $device: $report"
say "swapping to $path ($size)$([ "$encrypt" = no ] || echo ", encrypted")"
