#!/bin/sh
# Fuzzes one target for some seconds: scripts/fuzz.sh TARGET SECONDS [OPTION OF LIBFUZZER ...]
# With the stable compiler: the flags are cargo-fuzz's own for a build without a sanitizer. Crashes stay in fuzz/artifacts.
set -eu
target=$1 seconds=$2
shift 2
cd "$(dirname "$0")/../fuzz"
host=$(rustc -vV | sed -n 's/^host: //p')
corpus=corpus/$target artifacts=artifacts/$target
mkdir -p "$corpus" "$artifacts"
# What is fuzzed is built from what the binary is built from; only the fuzzer itself comes on top.
cp ../Cargo.lock Cargo.lock
# With --target the flags stay away from build scripts and macros.
RUSTFLAGS="--cfg fuzzing -Cpasses=sancov-module -Cllvm-args=-sanitizer-coverage-level=4 \
-Cllvm-args=-sanitizer-coverage-trace-compares -Cllvm-args=-sanitizer-coverage-inline-8bit-counters \
-Cllvm-args=-sanitizer-coverage-pc-table -Ccodegen-units=1" \
    cargo build --release --target "$host" --bin "$target"
exec "target/$host/release/$target" -artifact_prefix="$artifacts/" -max_total_time="$seconds" -max_len=4096 \
    -timeout=10 -rss_limit_mb=1024 -print_final_stats=1 "$@" "$corpus" "seeds/$target"
