#!/bin/sh
# CPU time per request beside a bare Pingora proxy of the same build, with the access log off and on (JSON, to a file).
#
#   benches/compare.sh              builds with the profile `dist` (takes minutes), then measures
#   BIN=DIRECTORY benches/compare.sh   measures pointsman and bare_proxy of that directory
#   CONNECTIONS=256 ROUNDS=15 SECONDS_EACH=4 benches/compare.sh
#
# Needs nginx, wrk and python3 (Debian: nginx-light wrk python3) and two cores: the proxies run on the first, the origins
# and the load on the last. Everything listens on 127.0.0.1. Ends its processes by their ids.
set -eu
cd "$(dirname "$0")/.."

connections=${CONNECTIONS:-64} rounds=${ROUNDS:-7} seconds=${SECONDS_EACH:-4}
last=$(($(nproc) - 1))
run=$(mktemp -d)
pids=
stop() {
    trap - EXIT INT TERM
    for pid in $pids $(cat "$run/origins.pid" 2>/dev/null); do kill "$pid" 2>/dev/null || true; done
    wait
    rm -rf "$run"
}
trap stop EXIT INT TERM

if [ -z "${BIN:-}" ]; then
    # In one go, so that both have the same dependencies with the same features.
    cargo build --locked --profile dist --bin pointsman --example bare_proxy
    target=${CARGO_TARGET_DIR:-target}
    BIN=$run/bin
    mkdir "$BIN"
    cp "$target/dist/pointsman" "$target/dist/examples/bare_proxy" "$BIN"
fi

# What both do not have in common is what is measured; so no limit on requests for ours either.
config() {
    cat <<END
server: { threads: 1 }
listeners: [{ address: 127.0.0.1:$1, limits: { keepalive_requests: 0 } }]
control: { address: 127.0.0.1:$2 }
state: { store: memory }
access_log: { path: "$3" }
log: { level: warn }
upstreams: { web: { servers: ["127.0.0.1:19081", "127.0.0.1:19082"] } }
routes: [{ to: web }]
END
}
config 18081 18091 off >"$run/off.yaml"
config 18082 18092 "$run/access.log" >"$run/on.yaml"

taskset -c "$last" nginx -p "$run" -c "$PWD/benches/origins.conf"
taskset -c 0 "$BIN/bare_proxy" 127.0.0.1:18080 127.0.0.1:19081 127.0.0.1:19082 2>"$run/bare.err" &
bare=$!
taskset -c 0 "$BIN/pointsman" run -c "$run/off.yaml" 2>"$run/off.err" &
off=$!
taskset -c 0 "$BIN/pointsman" run -c "$run/on.yaml" 2>"$run/on.err" &
on=$!
pids="$bare $off $on"

for port in 18080 18081 18082; do
    tries=0
    until python3 -c "import urllib.request as u; u.urlopen('http://127.0.0.1:$port/', timeout=1)" 2>/dev/null; do
        tries=$((tries + 1))
        if [ $tries -ge 50 ]; then
            echo "nothing answers on port $port" >&2
            cat "$run"/*.err >&2
            exit 1
        fi
        sleep 0.1
    done
done

set -- "bare=http://127.0.0.1:18080/,$bare" "log off=http://127.0.0.1:18081/,$off" "log on=http://127.0.0.1:18082/,$on"
echo "$connections connections:"
benches/percore.py --connections "$connections" --seconds "$seconds" --rounds "$rounds" "$@"
if [ -x ../shared/perf/percore.py ]; then
    echo "by ../shared/perf/percore.py:"
    ../shared/perf/percore.py -c "$connections" -d "$seconds" -r 3 "$@"
fi
