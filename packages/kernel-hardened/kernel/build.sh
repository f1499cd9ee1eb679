#!/bin/bash
# build.sh FLAVOUR: a kernel from Debian's source package, in /build.  What it needs is said by build.yml.
#   /build/image/kernel   what a machine boots
#   /build/image/config   what it was built with; everything asked for is in it, or the build fails
#   /build/image/kernel.tar  its modules, if it has any
set -euo pipefail
flavour=$1
here=$(dirname "$0")

case $TARGET_ARCH in
amd64) arch=x86_64 target=bzImage made=arch/x86/boot/bzImage ;;
arm64) arch=arm64 target=Image made=arch/arm64/boot/Image ;;
riscv64) arch=riscv target=Image made=arch/riscv/boot/Image ;;
s390x) arch=s390 target=bzImage made=arch/s390/boot/bzImage ;;
esac

cross=
[ "$TARGET_ARCH" = "$MACHINE_ARCH" ] || cross=$TARGET_MULTIARCH-

mkdir -p /build/linux /build/out /build/image /build/tree
tar --strip-components=1 -xf /usr/src/linux-source-*.tar.xz -C /build/linux
for patch in "$here"/patches/*.patch; do
	patch -d /build/linux -p1 -s <"$patch"
done

# Nothing of the machine or the moment may get into the kernel: time, user and host are given, and so are
# the seeds of what would be drawn at random (structure layouts; constants of the latent entropy plugin).
export KBUILD_BUILD_TIMESTAMP KBUILD_BUILD_USER=linuxkit KBUILD_BUILD_HOST=linuxkit
KBUILD_BUILD_TIMESTAMP=$(date -u -d "@$SOURCE_DATE_EPOCH")
export RANDSTRUCT_SEED="linuxkit $TARGET_KERNEL_ARCH $flavour"
build() {
	make -s -C /build/linux O=/build/out ARCH=$arch CROSS_COMPILE=$cross \
		KCFLAGS=-frandom-seed=linuxkit -j "$JOBS" "$@"
}

sh "$here/merge.sh" "$TARGET_ARCH" "$flavour" >/build/request
build KCONFIG_ALLCONFIG=/build/request allnoconfig
sh "$here/compare.sh" /build/request /build/out/.config
build $target
cp /build/out/$made /build/image/kernel
cp /build/out/.config /build/image/config
modules=(-T /dev/null)
if grep -qx CONFIG_MODULES=y /build/image/config; then
	build modules
	build INSTALL_MOD_PATH=/build/tree modules_install
	rm -f /build/tree/lib/modules/*/build
	modules=(lib)
fi
tar -C /build/tree --sort=name --mtime="@$SOURCE_DATE_EPOCH" --owner=0 --group=0 --numeric-owner \
	-cf /build/image/kernel.tar "${modules[@]}"
