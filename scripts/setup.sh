# Sourced by scripts/demo and scripts/test: makes what they need on a fresh Debian machine.
# shellcheck shell=bash

cd "$(dirname "${BASH_SOURCE[0]}")/.." || exit

as_root() {
  if [ "$(id -u)" = 0 ]; then "$@"; elif command -v sudo >/dev/null; then sudo "$@"; else
    echo "this needs root or sudo: $*" >&2
    return 1
  fi
}

# install_missing PACKAGE...: Debian packages that are not installed yet, and nothing else.
install_missing() {
  local missing=() package
  for package in "$@"; do
    dpkg-query -W -f '${db:Status-Status}' "$package" 2>/dev/null | grep -qx installed ||
      missing+=("$package")
  done
  [ ${#missing[@]} = 0 ] && return
  echo "installing: ${missing[*]}" >&2
  as_root env DEBIAN_FRONTEND=noninteractive apt-get update -qq
  as_root env DEBIAN_FRONTEND=noninteractive \
    apt-get install -y -qq --no-install-recommends "${missing[@]}" >/dev/null
}

# make_venv EXTRA: a virtual environment in .venv with this checkout installed into it.
make_venv() {
  local extra=$1 python=python3
  if ! python3 -c 'import sys, ensurepip, venv; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then
    install_missing python3 python3-venv
    python=/usr/bin/python3  # whatever comes before it in PATH
  fi
  local stamp=".venv/.linuxkit-$extra"
  if ! [ "$stamp" -nt pyproject.toml ]; then
    echo "making the virtual environment .venv" >&2
    .venv/bin/python -m pip --version >/dev/null 2>&1 || "$python" -m venv .venv
    .venv/bin/python -m pip install -q --disable-pip-version-check "hatchling>=1.27" editables \
      ziglang==0.17.1
    .venv/bin/python -m pip install -q --disable-pip-version-check \
      --no-build-isolation -e ".[$extra]"
    touch "$stamp"
  fi
  .venv/bin/python scripts/build_guest.py  # the architectures of LINUXKIT_GUEST_ARCHES, or all
  PATH="$PWD/.venv/bin:$PATH"
}
