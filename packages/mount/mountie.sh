#!/bin/sh
# Mounts a file system of one of the machine's disks.
set -u

usage='usage: mountie [-label LABEL | -uuid UUID | -device DEVICE] MOUNTPOINT
       mountie DEVICE MOUNTPOINT
Without a choice: the first partition with a Linux file system that is not mounted.'

key='' value='' mountpoint=''

die() {
	echo "mountie: $1" >&2
	exit 1
}
misuse() {
	echo "mountie: $1
$usage" >&2
	exit 2
}
choose() { # KEY VALUE
	[ -z "$key" ] || misuse "choose one of label, uuid and device"
	[ -n "$2" ] || misuse "empty $1"
	key=$1 value=$2
}

while [ $# -gt 0 ]; do
	option=$1
	case "$option" in --[a-z]*) option=${option#-} ;; esac # both spellings are in use
	case "$option" in
	-label | -uuid | -device)
		[ $# -ge 2 ] || misuse "$1 needs a value"
		choose "${option#-}" "$2"
		shift
		;;
	-label=* | -uuid=* | -device=*)
		option=${option#-}
		choose "${option%%=*}" "${option#*=}"
		;;
	-h | -help)
		echo "$usage"
		exit 0
		;;
	-*) misuse "unknown option $1" ;;
	*)
		if [ -n "$mountpoint" ]; then choose device "$mountpoint"; fi
		mountpoint=$1
		;;
	esac
	shift
done
[ -n "$mountpoint" ] || misuse "MOUNTPOINT is missing"
case "$mountpoint/" in
*/../*) misuse "MOUNTPOINT must not contain \"..\"" ;;
/?*) ;;
*) misuse "MOUNTPOINT must be an absolute path: \"$mountpoint\"" ;;
esac

# A mount is seen by the machine only where this container shares a folder with it.
shared_with_machine() {
	while read -r _ _ _ _ place _; do
		case "$mountpoint/" in
		"${place%/}"/*) [ "$place" = / ] || return 0 ;;
		esac
	done </proc/self/mountinfo
	return 1
}
shared_with_machine ||
	die "$mountpoint would be seen by this container only: choose a place under /var, or add a bind"

mounted() { # DEVICE
	while read -r source _; do
		[ "$source" != "$1" ] || return 0
	done </proc/mounts
	return 1
}

type_of() { # DEVICE
	blkid -p -s TYPE -o value "$1" 2>/dev/null
}

# Partitions and whole disks, one a line.
candidates() {
	for path in /sys/class/block/*; do
		name=${path##*/}
		case "$name" in
		loop* | ram* | zram* | sr* | fd* | md* | nbd* | mtdblock*) continue ;;
		esac
		[ -b "/dev/$name" ] && echo "/dev/$name"
	done
}

find_device() {
	case "$key" in
	label) blkid -c /dev/null -l -t "LABEL=$value" -o device ;;
	uuid) blkid -c /dev/null -l -t "UUID=$value" -o device ;;
	device) [ -b "$value" ] && echo "$value" ;;
	'')
		for candidate in $(candidates); do
			case "$(type_of "$candidate")" in
			ext2 | ext3 | ext4 | xfs | btrfs)
				mounted "$candidate" || {
					echo "$candidate"
					return
				}
				;;
			esac
		done
		;;
	esac
}

tries=0
until device=$(find_device) && [ -n "$device" ]; do
	tries=$((tries + 1))
	if [ "$tries" -gt 50 ]; then # a disk may be some seconds late
		die "no ${key:-free partition with a Linux file system}${key:+ $value} within 5 s (block devices: $(
			candidates | tr '\n' ' '
		))"
	fi
	sleep 0.1
done

type=$(type_of "$device")
[ -n "$type" ] || die "$device holds no file system that is known"
mkdir -p "$mountpoint" || die "cannot make $mountpoint"
report=$(mount -t "$type" "$device" "$mountpoint" 2>&1) || die "mounting $device ($type) on $mountpoint: $report"

uuid=$(blkid -p -s UUID -o value "$device" 2>/dev/null)
if [ -n "$uuid" ]; then
	mkdir -p /dev/disk/by-uuid && ln -sfn "../../${device#/dev/}" "/dev/disk/by-uuid/$uuid"
fi
echo "mountie: $device ($type) is on $mountpoint"
