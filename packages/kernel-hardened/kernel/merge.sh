#!/bin/sh
# merge.sh ARCH FLAVOUR: what is asked of Kconfig, as a .config file.  The last line about a symbol counts.
set -eu
cd "$(dirname "$0")/config"
parts=$(awk -v flavour="$2" '$1 == flavour { $1 = ""; print }' flavours)
[ -n "$parts" ] || { echo "merge.sh: there is no flavour $2" >&2; exit 1; }
set -- "$1" common/*.config "$1/all.config"
for part in $parts; do
	set -- "$@" "flavour/$part.config"
	[ ! -e "$1/$part.config" ] || set -- "$@" "$1/$part.config"
done
shift
cat "$@" | awk '
	match($0, /^CONFIG_[A-Za-z0-9_]+=/) {
		name = substr($0, 1, RLENGTH - 1)
		value = substr($0, RLENGTH + 1)
		if (match(value, /^"[^"]*"/)) value = substr(value, 1, RLENGTH)
		else sub(/[ \t]+#.*$/, "", value)
		if (!(name in values)) names[++count] = name
		values[name] = value
	}
	END {
		for (i = 1; i <= count; i++)
			if (values[names[i]] == "n") print "# " names[i] " is not set"
			else print names[i] "=" values[names[i]]
	}'
