#!/bin/sh
# Prints the kernel's messages as lines "<LEVEL>[SECONDS] TEXT", for ever.
set -u

exec 3</dev/kmsg

# Records are "PRIORITY,NUMBER,MICROSECONDS,FLAGS[,...];TEXT"; lines that begin with a blank are details.
# https://docs.kernel.org/admin-guide/abi-testing.html (dev-kmsg)
copy() {
	while :; do
		# a reader that the kernel has overtaken gets an error, and then what is left
		cat <&3 2>/dev/null | while IFS= read -r line; do
			case "$line" in
			[0-9]*,*,*\;*) ;;
			*) continue ;;
			esac
			IFS=, read -r priority _ time _ <<-END
				${line%%;*}
			END
			case "$time" in
			??????*) ;;
			*) time=000000$time ;;
			esac
			seconds=${time%??????}
			fraction=${time#"$seconds"}
			while [ "$seconds" != "${seconds#0}" ]; do seconds=${seconds#0}; done
			printf '<%s>[%5s.%s] %s\n' "$((priority & 7))" "${seconds:-0}" "$fraction" "${line#*;}"
		done
	done
}

# As the first process of its container the shell is deaf to signals it does not handle, and while it waits
# for a program of its own to all.
copy &
trap 'exit 0' TERM INT
wait
