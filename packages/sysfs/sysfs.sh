#!/bin/sh
# Writes settings of the kernel that lie below /sys.
#   sysfs [FILE-OR-DIRECTORY ...]        without arguments: /etc/sysfs.d
# Lines are "path/attribute = value", the path below /sys; "#" and ";" begin a comment; a path that begins
# with "-" may be unknown to the kernel.  All lines are tried; the exit status is 1 if one failed.
set -u

failed=0

complain() {
	echo "sysfs: $1" >&2
	failed=1
}

write() { # PATH VALUE MAY-FAIL PLACE
	case "/$1/" in
	*/../*)
		complain "$4: \"$1\" does not lie in /sys"
		return
		;;
	esac
	if [ ! -f "/sys/$1" ]; then
		[ "$3" = yes ] || complain "$4: this machine has no /sys/$1"
	elif ! { printf '%s\n' "$2" >"/sys/$1"; } 2>/dev/null; then
		complain "$4: the kernel refuses $1 = $2"
	fi
}

apply() { # FILE
	number=0
	while read -r line || [ -n "$line" ]; do # read takes the white space off both ends
		number=$((number + 1))
		may_fail=no
		case "$line" in
		'' | '#'* | ';'*) continue ;;
		*=*) ;;
		*)
			complain "$1:$number: expected \"path = value\", found \"$line\""
			continue
			;;
		esac
		case "$line" in
		-*) may_fail=yes line=${line#-} ;;
		esac
		path=${line%%=*}
		value=${line#*=}
		path=${path#/sys/}
		while [ "$path" != "${path%[[:space:]]}" ]; do path=${path%?}; done
		while [ "$value" != "${value#[[:space:]]}" ]; do value=${value#?}; done
		write "$path" "$value" "$may_fail" "$1:$number"
	done <"$1"
}

[ $# -gt 0 ] || set -- /etc/sysfs.d
for argument in "$@"; do
	if [ -d "$argument" ]; then
		for file in "$argument"/*.conf; do
			[ ! -e "$file" ] || apply "$file"
		done
	elif [ -e "$argument" ]; then
		apply "$argument"
	else
		complain "$argument: no such file or directory"
	fi
done
exit "$failed"
