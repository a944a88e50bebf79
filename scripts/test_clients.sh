#!/bin/sh
# Lets real clients talk to the real binary: every scripts/test_clients/*.py, each with a proxy of its own on free ports
# of 127.0.0.1. Installs what they need. One line for each check; ends with 1 if one of them failed.
# usage: scripts/test_clients.sh [BINARY]      (PYTHON names another interpreter)
set -eu
cd "$(dirname "$0")/.."
POINTSMAN=$(realpath "${1:-target/release/pointsman}")
export POINTSMAN PYTHONDONTWRITEBYTECODE=1
python=${PYTHON:-python3}

scripts/install.sh curl=curl h2load=nghttp2-client openssl=openssl "$python"=python3
environment=target/test_clients
if [ ! -x "$environment/bin/python" ]; then
    "$python" -m venv "$environment" 2>/dev/null || {
        scripts/install.sh no-venv=python3-venv
        "$python" -m venv "$environment"
    }
fi
wanted=scripts/test_clients/requirements.txt
if ! cmp -s "$wanted" "$environment/installed"; then
    echo "test-clients: installing $(tr '\n' ' ' <"$wanted")into $environment with pip" >&2
    "$environment/bin/python" -m pip install --quiet --disable-pip-version-check -r "$wanted"
    cp "$wanted" "$environment/installed"
fi

failed=0
for script in scripts/test_clients/*.py; do
    echo "== $script"
    # None may hang: each has a bounded time.
    timeout 300 "$environment/bin/python" "$script" || failed=1
done
exit $failed
