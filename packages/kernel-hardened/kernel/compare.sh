#!/bin/sh
# compare.sh REQUEST FINAL: fails, and names them, if symbols did not get the value they were asked to have.
set -eu
awk '
	match($0, /CONFIG_[A-Za-z0-9_]+/) {
		name = substr($0, RSTART, RLENGTH)
		value = $0 ~ /is not set/ ? "n" : substr($0, RSTART + RLENGTH + 1)
		if (FNR == NR) { asked[name] = value; next }
		final[name] = value
	}
	END {
		for (name in asked) {
			value = name in final ? final[name] : "n"
			if (asked[name] != value) { print name ": asked for " asked[name] ", got " value; bad = 1 }
		}
		exit bad
	}' "$1" "$2"
