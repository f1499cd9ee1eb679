#!/bin/sh
# Waits, then asks PID 1 for an orderly power-off.   poweroff.sh [SECONDS]
set -eu

seconds=${1-30}
case "$seconds" in
'' | *[!0-9]*)
	echo "poweroff: \"$seconds\" is not a number of seconds" >&2
	exit 2
	;;
esac
sleep "$seconds"
echo "poweroff: $seconds s are over"
kill -USR2 1
