#!/bin/sh
# Compiles crun from Debian's source package as one static program, /build/crun.
set -eu
mkdir -p /build/source /build/out
tar --strip-components=1 -xf "$SRC"/sources/crun_*.orig.tar.* -C /build/source
cd /build/source
# The archive has no git, which would say the version.
version=$(basename "$SRC"/sources/crun_*.orig.tar.*)
version=${version#crun_}
version=${version%.orig.tar.*}
echo "$version" >.tarball-version
printf '#ifndef GIT_VERSION\n# define GIT_VERSION "Debian %s"\n#endif\n' "$version" >.tarball-git-version.h

cd /build/out
# What configure and the makefiles were made of is in the archive, and was not changed.
export ACLOCAL=: AUTOCONF=: AUTOHEADER=: AUTOMAKE=:
../source/configure --build="$TARGET_MULTIARCH" --disable-dependency-tracking --disable-dl \
	--disable-systemd --disable-criu --disable-shared --enable-static \
	CFLAGS="-O2 -ffunction-sections -fdata-sections -fstack-protector-strong -D_FORTIFY_SOURCE=3 \
-ffile-prefix-map=/build/source=."
# Debian calls the static one by another name than the libraries that need it do.
mkdir -p /build/lib
ln -s "/usr/lib/$TARGET_MULTIARCH/libyajl_s.a" /build/lib/libyajl.a
make -s git-version.h
make -s -C libocispec -j "$JOBS" libocispec.la  # first, for the rest includes what it generates
make -s -j "$JOBS" crun LDFLAGS="-all-static -no-pie -Wl,--gc-sections,-z,relro,-z,now \
-L/build/lib" LIBS="-lyajl -lm"
strip -o /build/crun crun
XDG_RUNTIME_DIR=/tmp /build/crun --version
