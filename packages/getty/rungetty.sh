#!/bin/sh
# Keeps a login on every console of the kernel command line, and starts it anew when it ends.
set -u

if [ -s /hostroot/etc/getty.shadow ]; then
	cat /hostroot/etc/getty.shadow >/etc/shadow
fi

if [ "${INSECURE:-false}" = true ]; then
	login_with='-n -l /usr/bin/autologin.sh'
else
	login_with=
fi

keep_login() { # TTY SPEED
	while :; do
		# shellcheck disable=SC2086  # several words on purpose
		/usr/bin/busybox getty -L $login_with "$2" "$1" linux
		sleep 1 # a terminal that hangs up at once does not become a busy loop
	done
}

consoles=
read -r cmdline </proc/cmdline
for word in $cmdline; do
	case "$word" in
	console=null | console=ttynull | console=) ;;
	console=*) consoles="$consoles ${word#console=}" ;;
	esac
done
if [ -z "$consoles" ]; then
	read -r consoles </sys/class/tty/console/active
fi

children=
seen=' '
for console in $consoles; do
	tty=${console%%,*}
	[ "$tty" != tty0 ] || tty=tty1 # tty0 is whichever of them is in front
	case "$seen" in *" $tty "*) continue ;; esac
	seen="$seen$tty "
	if [ ! -c "/dev/$tty" ]; then
		echo "getty: no login on $tty: this machine has no such terminal"
		continue
	fi
	speed=0 # as it is
	case "$console" in
	*,[0-9]*)
		speed=${console#*,}
		speed=${speed%%[!0-9]*}
		;;
	esac
	keep_login "$tty" "$speed" &
	children="$children $!"
done

if [ -z "$children" ]; then
	echo "getty: none of the consoles of the kernel command line is a terminal of this machine:$seen" >&2
	exit 1
fi
# shellcheck disable=SC2086  # several words on purpose
stop() { kill $children; }
trap 'stop; exit 0' TERM INT HUP
wait
