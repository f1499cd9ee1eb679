#!/bin/sh
# Feeds the kernel's random pool.
#   rngd [OPTION ...]   for ever; options go to the daemon
#   rngd -1             wait until the kernel's generator is ready, then end
# Only the shell's builtins: nothing else is in this image.
set -eu

has_hwrng() {
	{ IFS= read -r _ </sys/class/misc/hw_random/rng_current; } 2>/dev/null && [ "$_" != none ]
}

has_rdrand() {
	while read -r key rest; do
		case "$key $rest " in
		flags*' rdrand '*) return 0 ;;
		esac
	done </proc/cpuinfo
	return 1
}

sources=
if has_hwrng; then sources="$_"; fi
if has_rdrand; then sources="${sources:+$sources, }RDRAND"; fi

if [ "${1:-}" = -1 ]; then
	IFS= read -r _ </dev/random # blocks until the generator has its first seed
	echo "rngd: the kernel's random generator is ready (${sources:-no hardware source, seeded from timing})"
	exit 0
fi
if [ -z "$sources" ]; then
	echo "rngd: no hardware source on this machine: the kernel seeds itself from timing, nothing to do"
	exit 0
fi
echo "rngd: feeding the kernel from $sources"
/usr/lib/rngd/rngd --foreground --no-tpm=1 --rng-device=/dev/hwrng "$@" &
daemon=$!
# as the first process of a container the daemon would be deaf to signals it does not handle
trap 'kill "$daemon"; exit 0' TERM INT
wait "$daemon"
