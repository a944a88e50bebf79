#!/bin/sh
# Makes sure that the build's tools exist, and with the argument `tests` what the tests start. Installs cmake
# (zlib-ng is built with it) and redis-server (the tests of the shared store talk to a real one) with the system's
# package manager; a Rust toolchain and a C compiler are the caller's business.
set -eu

has() { command -v "$1" >/dev/null 2>&1; }
stop() { echo "prepare: $*" >&2; exit 1; }

# Root needs no sudo, and Homebrew refuses to run under it.
as_root() {
    if [ "$(id -u)" -eq 0 ]; then "$@"
    elif has sudo; then sudo "$@"
    else stop "this needs root: $*"
    fi
}

# A program may answer to another name, as Valkey's server does to redis-server. PROGRAM WHY APT OTHERS
install() {
    if has "$1"; then return; fi
    echo "prepare: $1 is missing ($2); installing it with the system's package manager" >&2
    {
        if has apt-get; then
            # Stale lists on one third-party source must not stop us: the install itself decides.
            as_root apt-get update -qq || echo "prepare: apt-get update failed, trying the install anyway" >&2
            as_root env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "$3"
        elif has dnf; then as_root dnf install -y -q "$4"
        elif has apk; then as_root apk add --quiet "$4"
        elif has pacman; then as_root pacman -Sy --noconfirm --needed "$4"
        elif has brew; then brew install --quiet "$4"
        else stop "no known package manager (apt-get, dnf, apk, pacman, brew); install $1 by hand"
        fi
    } >&2
    has "$1" || stop "$1 was installed but is not on PATH"
}

has cargo || stop "cargo is missing; install Rust from https://rustup.rs"
has "${CC:-cc}" || has gcc || has clang || stop "a C compiler is missing (gcc or clang)"
install cmake "zlib-ng is built with it" cmake cmake
if [ "${1:-}" = tests ]; then
    install redis-server "the tests of the shared store start it" redis-server redis
fi
