#!/bin/sh
# Opens an encrypted block device.
set -u

usage='usage: crypto [-l|--luks] [-k|--key-file FILE] NAME DEVICE
The device is open as /dev/mapper/NAME.  FILE is a path, or a name in /etc/dm-crypt: key.'

luks=no key=key name='' device=''

say() { echo "crypto: $1"; }
die() {
	echo "crypto: $1" >&2
	exit 1
}
misuse() {
	echo "crypto: $1
$usage" >&2
	exit 2
}

while [ $# -gt 0 ]; do
	case "$1" in
	-l | --luks) luks=yes ;;
	-k | --key-file)
		[ $# -ge 2 ] || misuse "$1 needs a value"
		key=$2
		shift
		;;
	--key-file=*) key=${1#*=} ;;
	-h | --help)
		echo "$usage"
		exit 0
		;;
	-*) misuse "unknown option $1" ;;
	*)
		if [ -z "$name" ]; then
			name=$1
		elif [ -z "$device" ]; then
			device=$1
		else
			misuse "\"$1\" is one too many"
		fi
		;;
	esac
	shift
done
[ -n "$name" ] || misuse "NAME is missing"
[ -n "$device" ] || misuse "DEVICE is missing"
case "$name" in
*[!A-Za-z0-9_.-]*) misuse "\"$name\" cannot be a name" ;;
esac
case "$key" in
/*) ;;
*) key=/etc/dm-crypt/$key ;;
esac
[ -s "$key" ] || die "there is no key in $key"

# opening it loads the module
mkdir -p /dev/mapper
[ -e /dev/mapper/control ] || mknod -m 0600 /dev/mapper/control c 10 236 2>/dev/null

tries=0
while [ ! -b "$device" ]; do
	tries=$((tries + 1))
	[ "$tries" -le 50 ] || die "$device is not a block device of this machine"
	sleep 0.1 # a disk may be some seconds late
done

is_blank() { # DEVICE: blkid has read it and found nothing
	report=$(blkid -p "$1" 2>&1)
	case "$?,$report" in
	0,* | 8,*) return 1 ;;
	2,) return 0 ;;
	*) die "cannot tell what is on $1: $report" ;;
	esac
}

if [ "$luks" = yes ]; then
	if ! cryptsetup isLuks "$device" 2>/dev/null; then
		is_blank "$device" || die "$device is not LUKS and holds something: $report"
		say "making LUKS on $device"
		# memory as small machines have it
		report=$(cryptsetup luksFormat --batch-mode --key-file "$key" --type luks2 \
			--pbkdf argon2id --pbkdf-memory 65536 --pbkdf-parallel 1 --iter-time 1000 "$device" 2>&1) ||
			die "cannot make LUKS on $device: $report"
	fi
	report=$(cryptsetup open --type luks --key-file "$key" "$device" "$name" 2>&1) ||
		die "cannot open $device with the key in $key: $report"
else
	report=$(cryptsetup open --type plain --key-file "$key" --key-size 256 \
		--cipher aes-cbc-essiv:sha256 "$device" "$name" 2>&1) || die "cannot open $device: $report"
fi

if is_blank "/dev/mapper/$name"; then
	say "making ext4 on /dev/mapper/$name"
	report=$(mke2fs -q -F -t ext4 "/dev/mapper/$name" 2>&1) || die "mke2fs: $report"
fi
say "$device is open as /dev/mapper/$name"
