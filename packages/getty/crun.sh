#!/bin/sh
# The machine's crun, in its own root file system.
exec chroot /hostroot /usr/bin/crun "$@"
