#!/bin/sh
# Called by the agent as shutdown(8): -P or -H with a time is power off, -r is reboot.
set -eu

signal=USR2
for word; do
	case "$word" in
	-*r*) signal=TERM ;;
	esac
done
kill -"$signal" 1
