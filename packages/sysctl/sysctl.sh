#!/bin/sh
# Applies kernel parameters.
#   sysctl [FILE-OR-DIRECTORY ...]        without arguments: /etc/sysctl.d
# Lines are "key = value"; "#" and ";" begin a comment; a key that begins with "-" may be unknown to the
# kernel, and its value may be refused.  All lines are tried; the exit status is 1 if one failed that
# may not.  Starts no other program: it has to be quick.
set -u

failed=0

complain() {
	echo "sysctl: $1" >&2
	failed=1
}

# Sets $path to the file of a key: dots separate, unless slashes do (net/ipv4/conf/eth0.1/...).
find_path() {
	case "$1" in
	*/*) path=/proc/sys/$1 ;;
	*)
		path=/proc/sys
		rest=$1.
		while [ -n "$rest" ]; do
			path=$path/${rest%%.*}
			rest=${rest#*.}
		done
		;;
	esac
}

set_key() { # KEY VALUE MAY-FAIL PLACE
	find_path "$1"
	case "$path/" in
	*/../*)
		complain "$4: \"$1\" is not a kernel parameter"
		return
		;;
	esac
	if [ ! -f "$path" ]; then
		[ "$3" = yes ] || complain "$4: this kernel has no parameter \"$1\""
	elif ! { printf '%s\n' "$2" >"$path"; } 2>/dev/null; then
		if [ "$3" = yes ]; then
			echo "sysctl: $1 = $2 is not possible here and left as it is"
		else
			complain "$4: the kernel refuses $1 = $2"
		fi
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
			complain "$1:$number: expected \"key = value\", found \"$line\""
			continue
			;;
		esac
		case "$line" in
		-*) may_fail=yes line=${line#-} ;;
		esac
		key=${line%%=*}
		value=${line#*=}
		while [ "$key" != "${key%[[:space:]]}" ]; do key=${key%?}; done
		while [ "$value" != "${value#[[:space:]]}" ]; do value=${value#?}; done
		set_key "$key" "$value" "$may_fail" "$1:$number"
	done <"$1"
}

[ $# -gt 0 ] || set -- /etc/sysctl.d
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
