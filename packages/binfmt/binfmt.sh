#!/bin/sh
# Tells the kernel which interpreters start which programs (Linux, admin-guide/binfmt-misc).
set -u

usage='usage: binfmt [-dir DIR] [-mount DIR]
Registers what the files in DIR (/etc/binfmt.d, and /usr/lib/binfmt.d, from which a file of the same name is left out)
say, one ":NAME:TYPE:OFFSET:MAGIC:MASK:INTERPRETER:FLAGS" a line; "#" and ";" begin a comment.  What has NAME already is
replaced.  -mount: where the file system binfmt_misc is, or is put.'

failed=0 own=/etc/binfmt.d brought=/usr/lib/binfmt.d
place=/host/binfmt_misc # the machine's /proc/sys/fs/binfmt_misc

complain() {
	echo "binfmt: $1" >&2
	failed=1
}
misuse() {
	echo "binfmt: $1
$usage" >&2
	exit 2
}

while [ $# -gt 0 ]; do
	case "$1" in
	-dir | --dir | -mount | --mount)
		[ $# -ge 2 ] || misuse "$1 needs a value"
		case "$1" in
		*dir) own=$2 brought= ;;
		*) place=$2 ;;
		esac
		shift
		;;
	-dir=* | --dir=*) own=${1#*=} brought= ;;
	-mount=* | --mount=*) place=${1#*=} ;;
	-h | -help | --help)
		echo "$usage"
		exit 0
		;;
	*) misuse "unknown argument $1" ;;
	esac
	shift
done

put() { # TEXT FILE: in one write, or prints why not
	reason=$({ printf '%s\n' "$1" >"$2"; } 2>&1) && return
	reason=${reason##*: }
	return 1
}

register() { # LINE PLACE
	separator=${1%"${1#?}"}
	name=${1#?}
	name=${name%%"$separator"*}
	case "$name" in
	'' | */* | . | .. | register | status)
		complain "$2: expected \":NAME:TYPE:...\", found \"$1\""
		return
		;;
	esac
	if [ -e "$place/$name" ] && ! put -1 "$place/$name"; then
		complain "$2: $name stays as it was: $reason"
	elif put "$1" "$place/register"; then
		echo "binfmt: $name"
	else
		complain "$2: the kernel refuses $name: $reason"
	fi
}

apply() { # FILE
	number=0
	while read -r line || [ -n "$line" ]; do
		number=$((number + 1))
		case "$line" in
		'' | '#'* | ';'*) ;;
		*) register "$line" "$1:$number" ;;
		esac
	done <"$1"
}

if [ ! -e "$place/register" ]; then
	mount -o bind /binfmt_misc "$place" || exit
fi
for file in ${brought:+"$brought"/*}; do
	[ ! -f "$file" ] || [ -e "$own/${file##*/}" ] || apply "$file"
done
[ -d "$own" ] || complain "$own: no such folder"
for file in "$own"/*; do
	[ ! -f "$file" ] || apply "$file"
done
exit "$failed"
