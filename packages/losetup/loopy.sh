#!/bin/sh
# Makes a loop device of a file.
set -u

usage='usage: loopy [-c|--create] [-s|--size MIB] [-d|--dev DEVICE] FILE
-c makes FILE, of 10 MiB or of MIB, when it is not there.  Without DEVICE: the first that is free.'

create=no size=10 device='' file=''

die() {
	echo "loopy: $1" >&2
	exit 1
}
misuse() {
	echo "loopy: $1
$usage" >&2
	exit 2
}

while [ $# -gt 0 ]; do
	case "$1" in
	-c | --create) create=yes ;;
	-s | --size | -d | --dev)
		[ $# -ge 2 ] || misuse "$1 needs a value"
		case "$1" in
		-s | --size) size=$2 ;;
		*) device=$2 ;;
		esac
		shift
		;;
	-h | --help)
		echo "$usage"
		exit 0
		;;
	-*) misuse "unknown option $1" ;;
	*)
		[ -z "$file" ] || misuse "one FILE only, found \"$file\" and \"$1\""
		file=$1
		;;
	esac
	shift
done
[ -n "$file" ] || misuse "FILE is missing"
case "$size" in
'' | 0* | *[!0-9]* | ????????*) misuse "\"$size\" is not a size in MiB" ;;
esac
case "$device" in
'' | /dev/loop[0-9]*) ;;
*) misuse "\"$device\" is not a loop device" ;;
esac

if [ ! -e "$file" ]; then
	[ "$create" = yes ] || die "there is no file $file (-c makes one)"
	report=$(truncate -s "${size}M" "$file" 2>&1) || die "cannot make $file: $report"
fi
# opening it loads the module, which makes the devices
[ -e /dev/loop-control ] || mknod -m 0660 /dev/loop-control c 10 237 2>/dev/null
losetup -f >/dev/null 2>&1
if [ -z "$device" ]; then
	device=$(losetup -f 2>&1) || die "no loop device is free: $device"
fi
report=$(losetup "$device" "$file" 2>&1) || die "$device cannot be $file: $report"
echo "loopy: $device is $file"
