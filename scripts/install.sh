#!/bin/sh
# Installs what proofs and benches compare with or use as clients, by the system's package manager:
# scripts/install.sh COMMAND=PACKAGE ...
set -eu
missing=""
for pair in "$@"; do
    command -v "${pair%%=*}" >/dev/null 2>&1 || missing="$missing ${pair#*=}"
done
[ -n "$missing" ] || exit 0
echo "install:$missing missing; installing by the system's package manager" >&2
if [ "$(id -u)" -eq 0 ]; then root=""; else root="sudo"; fi
if command -v apt-get >/dev/null 2>&1; then
    $root apt-get update -qq || true
    # shellcheck disable=SC2086 # a list of words
    $root env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends $missing >&2
else
    echo "install: please install$missing by hand" >&2
    exit 1
fi
