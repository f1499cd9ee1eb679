#!/bin/sh
# Takes updates of the whole system, and says of a new one that it is good.
#
# A version is one file in EFI/Linux of the EFI system partition, named by the Boot Loader Specification:
# linuxkit_VERSION+LEFT-DONE.efi as long as it is on trial.  No moment of this program may leave the disk
# without a version that starts.  So the file that runs is never touched, a new one is no program until
# its first sector is there, which is written last, and one that goes loses that sector first.
set -u

usage='usage: update watch [SOURCE [SECONDS]] | apply SOURCE | good | rollback | status
  watch     judge the version that runs; then look for newer ones, every hour or SECONDS
  apply     take the version there is, to be started with the next boot
  good      the version that runs is to stay
  rollback  the one before it is to start next; the one that runs is not taken again
  status    what lies on the disk: good, trial (not judged yet), failed, unfinished
SOURCE is https://HOST[:PORT]/NAME:TAG (a registry; http too) or a folder with an OCI layout.'

sector=512
name=linuxkit
key=${UPDATE_KEY:-/etc/linuxkit/update.pub}
# wget leaves TLS to openssl, which believes these authorities and no others.
export SSL_CERT_FILE="${UPDATE_CA:-/etc/linuxkit/update-ca.crt}" SSL_CERT_DIR=/nowhere
tries=${UPDATE_TRIES:-3}
limit=${UPDATE_LIMIT:-180}   # seconds until a version on trial must be well
settle=${UPDATE_SETTLE:-10}  # seconds for which it must stay so
esp=${UPDATE_MOUNT:-/run/esp}
work=${UPDATE_WORK:-/tmp/update}
label=linuxkit-esp
type=application/vnd.linuxkit.update
max_table=1048576
max_chunk=4194304
accept=application/vnd.oci.image.manifest.v1+json

say() { echo "update: $*"; }
die() {
	echo "update: $*" >&2
	exit 1
}

# What is running

running() {
	tr ' ' '\n' <"${UPDATE_CMDLINE:-/proc/cmdline}" | sed -n 's/^linuxkit\.version=//p' | grep -m 1 .
}

is_version() {
	echo "$1" | grep -Eqx '(0|[1-9][0-9]{0,8})(\.(0|[1-9][0-9]{0,8})){0,3}'
}

newer() { # VERSION THAN
	awk -v a="$1" -v b="$2" 'BEGIN {
		n = split(a, x, "."); m = split(b, y, ".")
		for (i = 1; i <= n && i <= m; i++) if (x[i] + 0 != y[i] + 0) exit !(x[i] + 0 > y[i] + 0)
		exit !(n > m)
	}'
}

# The disk

find_device() {
	[ -z "${UPDATE_DEVICE:-}" ] || { echo "$UPDATE_DEVICE" && return; }
	found=
	for facts in /sys/class/block/*/uevent; do
		grep -qx "PARTNAME=$label" "$facts" || continue
		[ -z "$found" ] || die "two partitions are called $label: say which with UPDATE_DEVICE"
		found=/dev/$(sed -n 's/^DEVNAME=//p' "$facts")
	done
	[ -n "$found" ] || die "no partition is called $label: is this a disk of the format raw-ab?"
	echo "$found"
}

# Everything written so far is on the disk before anything that follows.
settle_disk() {
	if ! sync || ! sync "$device"; then die "writing to $device failed"; fi
}

# One at a time has the partition; a lock of a process that has gone is nobody's.
lock() {
	until ln -s $$ "$work.lock" 2>"$work/said"; do
		holder=$(readlink "$work.lock")
		[ "$holder" = $$ ] || [ ! -d "/proc/$holder" ] || die "another update is at work"
		rm -f "$work.lock"
	done
}

# What a cut left behind: entries that share clusters, clusters that nobody has.
open_esp() {
	device=$(find_device) || exit 1
	mkdir -p "$esp" "$work" || exit 1
	lock
	repaired=$(fsck.fat -a -w "$device" 2>&1)
	[ $? -le 1 ] || die "$device: $repaired"
	settle_disk
	mount_esp
	trap close_esp EXIT
	rm -f "$esp"/[Ff][Ss][Cc][Kk]*.[Rr][Ee][Cc] # what fsck.fat makes of clusters without a name
}

# The names are ASCII; kernels differ in which of these they have.
mount_esp() {
	for charset in iso8859-1 ascii; do
		mount -t vfat -o nosuid,nodev,noexec,umask=0077,errors=remount-ro,iocharset=$charset "$device" "$esp" \
			2>"$work/said" && return
	done
	die "cannot mount $device: $(cat "$work/said")"
}

close_esp() {
	umount "$esp" && settle_disk
	rm -rf "$work" "$work.lock"
}

# The files of a version, with a counter or without.
files_of() { # VERSION
	for file in "$esp/EFI/Linux/${name}_$1.efi" "$esp/EFI/Linux/${name}_$1"+*.efi; do
		[ -f "$file" ] && echo "$file"
	done
	return 0
}

version_of() { # FILE
	found=${1##*/"${name}"_}
	found=${found%.efi}
	echo "${found%%+*}"
}

# A program of UEFI begins with MZ; without that it is none, whatever its name.
is_whole() { # FILE
	[ "$(head -c 2 "$1")" = MZ ]
}

remove() { # FILE
	if [ -s "$1" ]; then
		dd if=/dev/zero of="$1" bs=$sector count=1 conv=notrunc 2>"$work/dd" || die "$1: $(cat "$work/dd")"
		settle_disk
	fi
	rm -f "$1" && settle_disk
}

# All but the version that runs goes: there is room for one more.
clean_up() { # RUNNING
	for file in "$esp"/EFI/Linux/*.efi; do
		[ -f "$file" ] || continue
		case "$file" in
		*"/${name}_$1.efi" | *"/${name}_$1"+*.efi) ;;
		*) remove "$file" ;;
		esac
	done
	for file in "$esp"/EFI/"$name"/*.tab; do
		[ -f "$file" ] || continue
		[ "$file" = "$esp/EFI/$name/$1.tab" ] || rm -f "$file"
	done
	settle_disk
}

# Where updates come from

fetch() { # SOURCE PATH LIMIT
	case "$1" in
	http://* | https://*)
		root=${1#*://}
		host=${root%%/*} repository=${root#*/}
		timeout 600 wget -q -T 30 -O - --header "Accept: $accept" \
			"${1%%:*}://$host/v2/${repository%:*}/$2" | head -c "$3"
		;;
	*) head -c "$3" "$1/$2" ;;
	esac
}

blob() { # SOURCE HEX LIMIT
	case "$1" in
	http://* | https://*) fetch "$1" "blobs/sha256:$2" "$3" ;;
	*) fetch "$1" "blobs/sha256/$2" "$3" ;;
	esac
}

# BusyBox 1.37 has openssl check an address together with its port, which no certificate has.
is_address() { # SOURCE
	echo "$1" | grep -Eq '^https://([0-9.]+|\[.*)(:|/|$)'
}

# Why the server's certificate is refused; wget does not say.
refusal() { # SOURCE
	case "$1" in https://*) ;; *) return ;; esac
	server=${1#https://} server=${server%%/*}
	case "$server" in *:*) ;; *) server=$server:443 ;; esac
	timeout 30 openssl s_client -connect "$server" -verify_hostname "${server%:*}" -verify_return_error </dev/null 2>&1 |
		sed -n 's/^verify error:num=[0-9]*:/: /p' | head -n 1
}

is_digest() {
	echo "$1" | grep -Eqx '[0-9a-f]{64}'
}

digest_of() { # FILE
	sha256sum <"$1" | cut -d ' ' -f 1
}

# The digest in the one descriptor of this kind; what a descriptor may have in braces goes first.
part() { # FILE TYPE
	tr -d ' \t\r\n' <"$1" | sed -E 's/"(annotations|platform)":\{[^{}]*\}//g' | grep -o '{[^{}]*}' | grep -F "\"mediaType\":\"$2\"" |
		sed -n 's/.*"digest":"sha256:\([0-9a-f]*\)".*/\1/p' | head -n 1
}

# Leaves the table in $work/table, once the key's owner has signed it.  What lists it is believed nothing.
fetch_table() { # SOURCE
	if is_address "$1"; then die "$1 has an address: write the name that the server's certificate is for"; fi
	case "$1" in
	http://*/*:* | https://*/*:*) fetch "$1" "manifests/${1##*:}" $max_chunk >"$work/manifest" ;;
	http://* | https://*) die "$1 names no tag: write https://HOST[:PORT]/NAME:TAG" ;;
	*)
		fetch "$1" index.json $max_chunk >"$work/index" || die "$1 holds no update"
		listed=$(part "$work/index" "$accept")
		is_digest "$listed" || die "$1 holds no update"
		blob "$1" "$listed" $max_chunk >"$work/manifest"
		;;
	esac
	table=$(part "$work/manifest" $type.table.v1)
	signature=$(part "$work/manifest" $type.signature.v1)
	if ! is_digest "$table" || ! is_digest "$signature"; then die "there is no update at $1$(refusal "$1")"; fi
	blob "$1" "$table" $max_table >"$work/table"
	blob "$1" "$signature" 4096 >"$work/signature"
	[ -f "$key" ] || die "no key is built in: put one at $key"
	openssl dgst -sha256 -verify "$key" -signature "$work/signature" "$work/table" >"$work/said" 2>&1 ||
		openssl pkeyutl -verify -pubin -inkey "$key" -rawin -in "$work/table" \
			-sigfile "$work/signature" >"$work/said" 2>&1 ||
		die "the update at $1 is not signed with the key of this system"
	grep -Evqx 'linuxkit-update 1|version [0-9.]{1,64}|arch [a-z0-9]{1,16}|size [0-9]{1,10}|digest [0-9a-f]{64}|signer [0-9a-f]{64}|chunk [0-9a-f]{64} [0-9]{1,7}' \
		"$work/table" && die "the table of the update at $1 is not understood"
	[ "$(head -n 1 "$work/table")" = "linuxkit-update 1" ] || die "the update at $1 is of another kind"
}

field() { # NAME [TABLE]
	sed -n "s/^$1 //p" "${2:-$work/table}" | head -n 1
}

# Taking one

check() { # VERSION
	is_version "$1" || die "\"$1\" is no version"
	[ "$(field arch)" = "$(arch)" ] || die "version $1 is for $(field arch)"
	if [ "$1" = "$current" ]; then
		say "version $1 runs already"
		exit 1
	fi
	newer "$1" "$current" || die "version $1 is older than $current, which runs"
	# Firmware would refuse it, when nobody is there to see.
	signer=
	[ ! -f "$esp/EFI/$name/$current.tab" ] || signer=$(field signer "$esp/EFI/$name/$current.tab")
	[ -z "$signer" ] || [ "$(field signer)" = "$signer" ] ||
		die "version $1 is not signed for the firmware by who signed $current, which runs"
	for file in $(files_of "$1"); do
		case "$file" in *+0-*) is_whole "$file" && die "version $1 has failed on this machine" ;; esac
	done
	return 0
}

arch() {
	case "$(uname -m)" in
	x86_64) echo amd64 ;;
	aarch64) echo arm64 ;;
	*) uname -m ;;
	esac
}

# Digest, offset and size of what the running version's file holds.
local_chunks() { # TABLE
	[ ! -f "$1" ] || awk '$1 == "chunk" { print $2, at + 0, $3; at += $3 }' "$1"
}

# One chunk, checked, in $work/chunk: from here when it is here, else from there.
chunk() { # SOURCE HEX SIZE
	here=$(grep "^$2 " "$work/local" | head -n 1)
	if [ -n "$here" ]; then
		set -- "$1" "$2" "$3" "${here#* }"
		dd if="$old" iflag=skip_bytes,count_bytes bs=65536 skip="${4% *}" count="${4#* }" \
			of="$work/chunk" 2>"$work/dd" && [ "$(digest_of "$work/chunk")" = "$2" ] && return
	fi
	[ "$3" -le $max_chunk ] || die "a chunk of $3 bytes is too large"
	blob "$1" "$2" "$3" >"$work/chunk"
	[ "$(digest_of "$work/chunk")" = "$2" ] || die "chunk $2 did not come as it was signed"
	fetched=$((fetched + $3)) count=$((count + 1))
}

# The new file without its first sector, which goes to $work/head.
write_all() { # SOURCE FILE
	first=1 fetched=0 count=0
	while read -r word hex size; do
		[ "$word" = chunk ] || continue
		chunk "$1" "$hex" "$size"
		if [ $first = 1 ]; then
			head -c $sector "$work/chunk" >"$work/head"
			head -c $sector /dev/zero && tail -c +$((sector + 1)) "$work/chunk"
			first=0
		else
			cat "$work/chunk"
		fi || die "there is no room on $device"
	done <"$work/table" >"$2" || exit 1
	[ $first = 0 ] || die "the update is empty"
}

apply() { # SOURCE
	current=$(running) || die "this system has no version: linuxkit.version= is missing from its command line"
	open_esp
	fetch_table "$1"
	version=$(field version)
	check "$version"
	case "$(files_of "$current")" in
	*+*) die "version $current is on trial itself: wait until it is good" ;;
	'') die "the file of version $current is not on $device" ;;
	esac
	old=$(files_of "$current" | head -n 1)
	clean_up "$current"
	local_chunks "$esp/EFI/$name/$current.tab" >"$work/local"
	target="$esp/EFI/Linux/${name}_$version+$tries-0.efi"
	# The name first: should it be torn it is that of an empty file.
	: >"$target" && settle_disk
	write_all "$1" "$target"
	cp "$work/table" "$esp/EFI/$name/$version.tab" || die "there is no room on $device"
	settle_disk
	umount "$esp" && mount_esp # what is read now comes from the disk
	[ "$( (cat "$work/head" && tail -c +$((sector + 1)) "$target") | sha256sum | cut -d ' ' -f 1)" = "$(field digest)" ] ||
		die "version $version is not on $device as it was signed"
	dd if="$work/head" of="$target" bs=$sector conv=notrunc,fsync 2>"$work/dd" || die "$(cat "$work/dd")"
	settle_disk
	say "version $version will start next; fetched $count chunks, $fetched bytes of $(field size)"
}

# Judging it

good() {
	current=$(running) || die "this system has no version"
	open_esp
	for file in $(files_of "$current"); do
		is_whole "$file" || remove "$file"
	done
	found=$(files_of "$current")
	[ -n "$found" ] || die "the file of version $current is not on $device"
	case "$found" in
	*+*)
		final="$esp/EFI/Linux/${name}_$current.efi"
		# Onto a name that is there a file moves by the change of one sector.
		: >"$final" && settle_disk
		mv "$found" "$final" && settle_disk
		say "version $current is good"
		;;
	*) say "version $current is good already" ;;
	esac
}

# The version before starts next: this one counts as failed.
rollback() {
	current=$(running) || die "this system has no version"
	open_esp
	for file in "$esp/EFI/Linux/${name}"_*.efi; do
		case "$file" in *"/${name}_$current.efi" | *+*) continue ;; esac
		if [ ! -f "$file" ] || ! is_whole "$file"; then continue; fi
		mv "$(files_of "$current" | head -n 1)" "$esp/EFI/Linux/${name}_$current+0-0.efi" && settle_disk
		say "version $(version_of "$file") will start next"
		return
	done
	die "there is no other version that was good"
}

on_trial() {
	(
		current=$(running) || exit 1
		open_esp
		case "$(files_of "$current")" in *+*) exit 0 ;; esac
		exit 1
	)
}

# The names, states and starts of all services; fails when one of them is not well.
services() {
	service list >"$work.list" || return 1
	awk '$1 ~ /^services\// { print $1, $2, $4 }
		$1 ~ /^services\// && $2 !~ /^(running|ready|exited)$/ { bad = 1 }
		$1 ~ /^onboot\// && $2 ~ /^(failed|starting|running)$/ { bad = 1 }
		END { exit bad }' "$work.list"
}

is_well() {
	waited=0 steady=0 before=
	while [ $waited -lt "$limit" ]; do
		if now=$(services) && [ "$now" = "$before" ]; then steady=$((steady + 1)); else steady=0; fi
		[ $steady -lt "$settle" ] || return 0
		before=$now waited=$((waited + 1))
		sleep 1
	done
	return 1
}

# PID 1 is in sight; by this signal it stops everything in order.
restart() {
	say "restarting"
	kill -TERM 1
	sleep 600
}

watch() { # [SOURCE [SECONDS]]
	if on_trial; then
		if is_well; then
			(good) || die "cannot say that this version is good"
		else
			say "this version is not well after $limit s"
			cat "$work.list"
			restart
		fi
	fi
	while [ $# -gt 0 ]; do
		(apply "$1") && restart
		sleep "${2:-3600}"
	done
	while :; do sleep 86400; done
}

status() {
	current=$(running) || current=none
	open_esp
	echo "running $current"
	for file in "$esp"/EFI/Linux/*.efi; do
		[ -f "$file" ] || continue
		state=good
		case "$file" in *+0-*) state=failed ;; *+*) state=trial ;; esac
		is_whole "$file" || state=unfinished
		echo "$(version_of "$file") $state ${file##*/}"
	done
}

case "${1:-} $#" in
'watch '[123]) shift && watch "$@" ;;
'apply 2') apply "$2" ;;
'good 1') good ;;
'rollback 1') rollback ;;
'status 1') status ;;
'help 1' | '-h 1' | '--help 1') echo "$usage" ;;
*)
	echo "$usage" >&2
	exit 2
	;;
esac
