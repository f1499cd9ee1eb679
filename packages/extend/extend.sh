#!/bin/sh
# Grows the only partition of a disk, and its file system, to the end of the disk.
set -u

usage='usage: extend [-type ext4|btrfs|xfs] [-stop-on-error] [DEVICE ...]
Without DEVICE: every disk of the machine.  A disk with other than one partition is left as it is.'

type=ext4 stop=no failed=0

say() { echo "extend: $1"; }
misuse() {
	echo "extend: $1
$usage" >&2
	exit 2
}
complain() {
	echo "extend: $1" >&2
	failed=1
	[ "$stop" = no ] || exit 1
}

while [ $# -gt 0 ]; do
	option=$1
	case "$option" in --[a-z]*) option=${option#-} ;; esac # both spellings are in use
	case "$option" in
	-type)
		[ $# -ge 2 ] || misuse "$1 needs a value"
		type=$2
		shift
		;;
	-type=*) type=${option#*=} ;;
	-stop-on-error | -stop-on-error=true) stop=yes ;;
	-stop-on-error=false) stop=no ;;
	-h | -help)
		echo "$usage"
		exit 0
		;;
	-*) misuse "unknown option $1" ;;
	*) break ;;
	esac
	shift
done
case "$type" in
ext4 | btrfs | xfs) ;;
*) misuse "file system type \"$type\" is not known here; known: ext4, btrfs, xfs" ;;
esac

disks() {
	for path in /sys/block/*; do
		name=${path##*/}
		case "$name" in
		loop* | ram* | zram* | sr* | fd* | dm-* | md* | nbd* | mtdblock* | *boot[0-9] | *rpmb) continue ;;
		esac
		read -r sectors <"$path/size"
		if [ "$sectors" -gt 0 ] && [ -b "/dev/$name" ]; then echo "/dev/$name"; fi
	done
}

# Sets $partition, $start and $size (in sectors) of the only partition, or fails.
find_partition() { # DEVICE
	partition='' start=0 size=0
	for path in "/sys/block/${1#/dev/}/${1#/dev/}"*; do
		[ -e "$path/start" ] || continue
		if [ -n "$partition" ]; then
			say "$1 has several partitions, left as it is"
			return 1
		fi
		partition=/dev/${path##*/}
		read -r start <"$path/start"
		read -r size <"$path/size"
	done
	[ -n "$partition" ] || say "$1 has no partition, left as it is"
	[ -n "$partition" ]
}

grow_partition() { # DEVICE
	read -r sectors <"/sys/block/${1#/dev/}/size"
	# the copy of a GPT takes the last 33 sectors; partitions end at multiples of 1 MiB
	if [ $((start + size + 2048 + 33)) -ge "$sectors" ]; then
		say "$partition fills $1 already"
		return 1
	fi
	if [ "$(blkid -p -s PTTYPE -o value "$1")" = gpt ]; then
		report=$(sfdisk --quiet --relocate gpt-bak-std "$1" 2>&1) || {
			complain "sfdisk on $1: $report"
			return 1
		}
	fi
	report=$(echo ', +' | sfdisk --quiet --no-reread --force -N 1 "$1" 2>&1) || {
		complain "sfdisk on $1: $report"
		return 1
	}
	blockdev --rereadpt "$1" 2>/dev/null # sfdisk may have done so
	tries=0
	while read -r now <"/sys/block/${1#/dev/}/${partition#/dev/}/size"; [ "$now" -le "$size" ] || [ ! -b "$partition" ]; do
		tries=$((tries + 1))
		if [ "$tries" -gt 50 ]; then
			complain "the kernel does not show that $partition has grown"
			return 1
		fi
		sleep 0.1
	done
}

check_ext4() { # DEVICE: 1 means that something was mended
	report=$(e2fsck -f -p "$1" 2>&1)
	[ $? -le 1 ]
}

grow_mounted() { # PARTITION COMMAND ...
	device=$1
	shift
	report=$(mount -t "$type" "$device" /mnt 2>&1) || return 1
	report=$("$@" 2>&1)
	status=$?
	umount /mnt
	return "$status"
}

grow_file_system() { # PARTITION
	case "$type" in
	ext4) check_ext4 "$1" && report=$(resize2fs "$1" 2>&1) && check_ext4 "$1" ;;
	btrfs) grow_mounted "$1" btrfs filesystem resize max /mnt ;;
	xfs) grow_mounted "$1" xfs_growfs /mnt && report=$(xfs_repair -n "$1" 2>&1) ;;
	esac
}

extend() { # DEVICE
	find_partition "$1" || return 0
	found=$(blkid -p -s TYPE -o value "$partition" 2>/dev/null)
	if [ "$found" != "$type" ]; then
		say "$partition holds ${found:-nothing} and not $type, left as it is"
		return 0
	fi
	grow_partition "$1" || return 0
	if grow_file_system "$partition"; then
		read -r now <"/sys/block/${1#/dev/}/${partition#/dev/}/size"
		say "$partition ($type) has grown from $((size / 2048)) to $((now / 2048)) MiB"
	else
		complain "$partition: $report"
	fi
}

if [ $# -eq 0 ]; then
	found=$(disks)
	# shellcheck disable=SC2086  # several words on purpose
	set -- $found
fi
for disk; do
	if [ -b "$disk" ]; then extend "$disk"; else complain "$disk is not a disk of this machine"; fi
done
exit "$failed"
