#!/bin/sh
# Starts dhcpcd.  With -1 it has to end: dhcpcd gives up after its timeout only where it may also go to
# the background, so that option is taken off then.
set -eu

for argument; do
	case "$argument" in
	-1 | --oneshot)
		count=$#
		for argument; do
			case "$argument" in
			-B | --nobackground) ;;
			*) set -- "$@" "$argument" ;;
			esac
		done
		shift "$count"
		break
		;;
	esac
done
exec /usr/lib/dhcpcd/dhcpcd "$@"
