#!/bin/sh
# Starts dhcpcd.  With -1 it has to end: dhcpcd gives up after its timeout only where it may also go to
# the background, so that option is taken off then.
set -eu

once=no
for argument; do
	case "$argument" in -1 | --oneshot) once=yes ;; esac
done
if [ "$once" = yes ]; then
	count=$#
	for argument; do
		case "$argument" in
		-B | --nobackground) ;;
		*) set -- "$@" "$argument" ;;
		esac
	done
	shift "$count"
fi
exec /usr/lib/dhcpcd/dhcpcd "$@"
