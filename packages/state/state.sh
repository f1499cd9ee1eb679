#!/bin/sh
# Opens the state partition with a key that only this machine's TPM has; makes it on the first start.
set -u

usage='usage: state [-recovery] [-partition NAME] MOUNTPOINT
The partition is encrypted (LUKS2).  Its key is random and sealed to the TPM: it comes out for systems signed by who
signed the one that made it (PCR 11), on a machine with the same keys of Secure Boot (PCR 7).
NAME is that of the partition: state.  -recovery: print a key for emergencies, once, when it is made.'

recovery=no name=state mountpoint=''
tpm=/dev/tpm0
making=linuxkit-making made=linuxkit-state # labels of LUKS: one that is not ready holds nothing yet
key=/run/key
export SYSTEMD_LOG_LEVEL=warning SYSTEMD_LOG_TARGET=console SYSTEMD_CRYPTSETUP_USE_TOKEN_MODULE=0

say() { echo "state: $1"; }
die() {
	echo "state: $1" >&2
	exit 1
}
misuse() {
	echo "state: $1
$usage" >&2
	exit 2
}

while [ $# -gt 0 ]; do
	case "$1" in
	-recovery | --recovery) recovery=yes ;;
	-partition | --partition)
		[ $# -ge 2 ] || misuse "$1 needs a value"
		name=$2
		shift
		;;
	-h | -help | --help)
		echo "$usage"
		exit 0
		;;
	-*) misuse "unknown option $1" ;;
	*)
		[ -z "$mountpoint" ] || misuse "one MOUNTPOINT only, found \"$mountpoint\" and \"$1\""
		mountpoint=$1
		;;
	esac
	shift
done
[ -n "$mountpoint" ] || misuse "MOUNTPOINT is missing"
case "$name" in
'' | *[!A-Za-z0-9_.-]*) misuse "\"$name\" cannot be the name of a partition" ;;
esac
case "$mountpoint/" in
*/../*) misuse "MOUNTPOINT must not contain \"..\"" ;;
/var/?*) ;;
*) misuse "MOUNTPOINT must be below /var, which this container shares with the machine" ;;
esac

find_device() {
	found=
	for facts in /sys/class/block/*/uevent; do
		grep -qx "PARTNAME=$name" "$facts" || continue
		[ -z "$found" ] || die "two partitions are called $name: say which with -partition"
		found=/dev/$(sed -n 's/^DEVNAME=//p' "$facts")
	done
	[ -b "$found" ]
}

wait_for() { # WORD …: until it is so; a device may be some seconds late
	tries=0
	until "$@"; do
		tries=$((tries + 1))
		[ "$tries" -le 50 ] || return 1
		sleep 0.1
	done
}

# Where the stub of the image has put what is signed about its measurement (systemd-stub(7)).
find_signed() {
	for signed in /host/.extra /dev/.extra; do
		public=$signed/tpm2-pcr-public-key.pem signature=$signed/tpm2-pcr-signature.json
		if [ -s "$public" ] && [ -s "$signature" ]; then return 0; fi
	done
	return 1
}

blkid_of() { # FIELD
	blkid -p -s "$1" -o value "$device" 2>/dev/null
}

# What an image was built with, nobody has written to: it says how often it was mounted.
is_unused() {
	facts=$(dumpe2fs -h "$device" 2>/dev/null) && echo "$facts" | grep -qx 'Mount count: *0' &&
		echo "$facts" | grep -qx 'Last mount time: *n/a'
}

holds() { # prints "state", "nothing" or what it is
	report=$(blkid -p "$device" 2>&1)
	case "$?,$(blkid_of TYPE),$(blkid_of LABEL)" in
	2,,) [ -z "$report" ] && echo nothing || echo "$report" ;;
	0,crypto_LUKS,"$made") echo state ;;
	0,crypto_LUKS,"$making") echo nothing ;;
	0,ext4,*) is_unused && echo nothing || echo "a file system" ;;
	*) echo "$report" ;;
	esac
}

attempt() { # WORD …: what it said is in $report
	report=$("$@" 2>&1)
}

# The label comes last: until then a start begins anew.
make() {
	say "making $device: encrypted, with a key sealed to the TPM"
	head -c 64 /dev/urandom >"$key"
	# The key is random, so nothing is gained by making guesses slow.
	attempt cryptsetup luksFormat --batch-mode --type luks2 --label $making --key-file "$key" --key-size 512 \
		--cipher aes-xts-plain64 --pbkdf pbkdf2 --pbkdf-force-iterations 1000 "$device" ||
		die "cannot make LUKS on $device: $report"
	if [ "$recovery" = yes ]; then
		report=$(systemd-cryptenroll --recovery-key --unlock-key-file="$key" "$device" 2>/run/said) ||
			die "cannot make a recovery key: $(cat /run/said)"
		say "recovery key, shown this once: $report"
	fi
	attempt systemd-cryptenroll --unlock-key-file="$key" --wipe-slot=0 --tpm2-device=$tpm --tpm2-pcrs=7 \
		--tpm2-public-key="$public" --tpm2-public-key-pcrs=11 --tpm2-signature="$signature" "$device" ||
		die "cannot seal a key to the TPM: $report"
	rm -f "$key"
	open
	attempt mke2fs -q -F -t ext4 -L "$name" "/dev/mapper/$name" || die "mke2fs: $report"
	attempt cryptsetup config --label $made "$device" || die "cannot label $device: $report"
}

open() {
	attempt systemd-cryptsetup attach "$name" "$device" - \
		"tpm2-device=$tpm,tpm2-signature=$signature,headless=yes" ||
		die "the TPM does not give the key of $device: this system is not signed by who signed the one that
made it, or the machine has other keys or another state of Secure Boot: $report"
}

wait_for find_device || die "no partition is called $name: is this a disk of the format raw-verity or raw-ab?"
device=$found
wait_for [ -c $tpm ] || die "this machine has no TPM 2.0"
find_signed || die "this system has no signature for the TPM: build it with --sign"

# opening it loads the module
mkdir -p /dev/mapper
[ -e /dev/mapper/control ] || mknod -m 0600 /dev/mapper/control c 10 236 2>/dev/null

case "$(holds)" in
state) open ;;
nothing) make ;;
*) die "$device holds $(holds), and is left as it is" ;;
esac
mkdir -p "$mountpoint"
attempt mount -t ext4 -o nosuid,nodev "/dev/mapper/$name" "$mountpoint" || die "cannot mount $device: $report"
say "$device is open at $mountpoint"
