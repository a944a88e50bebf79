#!/bin/sh
# Makes sure that the build's tools exist. Installs cmake (needed for zlib-ng, whose build uses it)
# with the system's package manager; a Rust toolchain and a C compiler are the caller's business.
set -eu

has() { command -v "$1" >/dev/null 2>&1; }
stop() { echo "prepare: $*" >&2; exit 1; }

has cargo || stop "cargo is missing; install Rust from https://rustup.rs"
has "${CC:-cc}" || has gcc || has clang || stop "a C compiler is missing (gcc or clang)"
if has cmake; then exit 0; fi

# Root needs no sudo, and Homebrew refuses to run under it.
as_root() {
    if [ "$(id -u)" -eq 0 ]; then "$@"
    elif has sudo; then sudo "$@"
    else stop "cmake is missing and this needs root: $*"
    fi
}

echo "prepare: cmake is missing (zlib-ng is built with it); installing it with the system's package manager" >&2
{
    if has apt-get; then
        # Stale lists on one third-party source must not stop us: the install itself decides.
        as_root apt-get update -qq || echo "prepare: apt-get update failed, trying the install anyway" >&2
        as_root env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends cmake
    elif has dnf; then as_root dnf install -y -q cmake
    elif has apk; then as_root apk add --quiet cmake
    elif has pacman; then as_root pacman -Sy --noconfirm --needed cmake
    elif has brew; then brew install --quiet cmake
    else stop "no known package manager (apt-get, dnf, apk, pacman, brew); install cmake by hand"
    fi
} >&2

has cmake || stop "cmake was installed but is not on PATH"
