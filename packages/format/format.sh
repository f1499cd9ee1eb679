#!/bin/sh
# Partitions an empty disk and makes a file system on it.
set -u

usage='usage: format [-force] [-label LABEL] [-type ext4|btrfs|xfs] [-partition gpt|dos] [-verbose] [DEVICE]
Without DEVICE: the first disk that is empty.  A disk that holds anything is left as it is, unless
-force is given together with DEVICE.'

force=no label='' type=ext4 table=dos verbose=no device=''

say() { echo "format: $1"; }
detail() { [ "$verbose" = no ] || say "$1"; }
die() {
	echo "format: $1" >&2
	exit 1
}
misuse() {
	echo "format: $1
$usage" >&2
	exit 2
}

while [ $# -gt 0 ]; do
	option=$1
	case "$option" in --[a-z]*) option=${option#-} ;; esac # both spellings are in use
	case "$option" in
	-force | -verbose | -h | -help) ;;
	-label | -type | -partition)
		[ $# -ge 2 ] || misuse "$1 needs a value"
		value=$2
		shift
		;;
	-*=*)
		value=${option#*=}
		option=${option%%=*}
		;;
	esac
	case "$option" in
	-force) force=yes ;;
	-verbose) verbose=yes ;;
	-label) label=$value ;;
	-type) type=$value ;;
	-partition) table=$value ;;
	-h | -help)
		echo "$usage"
		exit 0
		;;
	-*) misuse "unknown option $1" ;;
	*)
		[ -z "$device" ] || misuse "one DEVICE only, found \"$device\" and \"$1\""
		device=$1
		;;
	esac
	shift
done
case "$type" in
ext4) longest=16 ;;
btrfs) longest=255 ;;
xfs) longest=12 ;;
*) misuse "file system type \"$type\" is not known here; known: ext4, btrfs, xfs" ;;
esac
case "$table" in
gpt | dos) ;;
*) misuse "partition table \"$table\" is not known; known: gpt, dos" ;;
esac
[ ${#label} -le "$longest" ] || misuse "label \"$label\" is longer than the $longest characters of $type"
[ "$force" = no ] || [ -n "$device" ] || misuse "-force needs a DEVICE"

# Disks of the machine, one a line, the way the kernel names them: no partitions, CD-ROMs or RAM disks.
disks() {
	for path in /sys/block/*; do
		name=${path##*/}
		case "$name" in
		loop* | ram* | zram* | sr* | fd* | dm-* | md* | nbd* | mtdblock* | *boot[0-9] | *rpmb) continue ;;
		esac
		read -r sectors <"$path/size"
		read -r read_only <"$path/ro"
		if [ "$sectors" -gt 0 ] && [ "$read_only" = 0 ] && [ -b "/dev/$name" ]; then
			echo "/dev/$name"
		fi
	done
}

# Only when blkid has read the disk and found nothing: it says 2, and also when it could not read.
is_empty() { # DEVICE
	report=$(blkid -p "$1" 2>&1)
	case "$?,$report" in
	0,* | 8,*) return 1 ;;
	2,) return 0 ;;
	*) die "cannot tell what is on $1: $report" ;;
	esac
}

partition_of() { # DEVICE
	case "$1" in
	*[0-9]) echo "${1}p1" ;;
	*) echo "${1}1" ;;
	esac
}

make() { # DEVICE
	partition=$(partition_of "$1")
	say "partitioning $1 ($table)"
	report=$(printf 'label: %s\n,,L\n' "$table" |
		sfdisk --quiet --wipe always --wipe-partitions always "$1" 2>&1) ||
		die "sfdisk on $1: $report"
	tries=0
	while [ ! -b "$partition" ]; do
		tries=$((tries + 1))
		[ "$tries" -le 50 ] || die "the kernel does not show $partition after 5 s"
		sleep 0.1
	done
	say "making $type on $partition${label:+, label $label}"
	case "$type" in
	ext4) set -- mke2fs -q -F -t ext4 ;;
	btrfs) set -- mkfs.btrfs -q -f ;;
	xfs) set -- mkfs.xfs -q -f ;;
	esac
	[ -z "$label" ] || set -- "$@" -L "$label"
	report=$("$@" "$partition" 2>&1) || die "$1 on $partition: $report"
	detail "$(blkid "$partition")"
}

if [ -n "$device" ]; then
	[ -b "$device" ] || die "$device is not a disk of this machine (disks: $(disks | tr '\n' ' '))"
	if [ "$force" = yes ] || is_empty "$device"; then
		make "$device"
	else
		say "$device is not empty, left as it is"
	fi
	exit 0
fi

found=$(disks)
[ -n "$found" ] || die "this machine has no disk"
for disk in $found; do
	if is_empty "$disk"; then
		make "$disk"
		exit 0
	fi
	detail "$disk is not empty"
done
say "no disk is empty, nothing to do"
