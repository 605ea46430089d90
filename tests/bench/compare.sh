#!/usr/bin/env bash
# Runs the independent harness (compare.py, its own load and upstream) against this gateway with gateway.toml.
#
#   tests/bench/compare.sh [options of compare.py]      HARNESS=folder of compare.py   BIN=aerostack binary
#
# Five rounds at 64 connections unless told otherwise (`--conns 1,16,64,256`). The harness is copied: its folder may be
# read-only, and it builds and writes where it lies.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
root=$(cd "$here/../.." && pwd)
harness=${HARNESS:-$root/../shared/bench}
[ -f "$harness/compare.py" ] || { echo "no compare.py in $harness (set HARNESS)" >&2; exit 2; }
target=${CARGO_TARGET_DIR:-$root/target}
work=$(mktemp -d -t aerostack-compare-XXXXXX)
trap 'rm -rf "$work"' EXIT
cp -R "$harness/." "$work/harness"
chmod -R u+w "$work/harness"
for crate in fixture load; do
  cargo build --release --quiet --manifest-path "$work/harness/$crate/Cargo.toml" --target-dir "$target/harness"
done
ln -s "$target/harness" "$work/harness/target"
if [ -z "${BIN:-}" ]; then
  (cd "$root" && cargo build --release --quiet)
  BIN=$target/release/aerostack
fi
mkdir "$work/gateway"
{ read -r token; read -r start; } < <(python3 "$here/run.py" prepare "$work/gateway" --bin "$BIN")
[ -n "${start:-}" ] || { echo "the gateway could not be prepared" >&2; exit 1; }
cd "$work/harness"
AEROSTACK_CONFIG_DIR="$work/gateway/config" python3 compare.py --start "$start" --url http://127.0.0.1:9301/ws/bench \
  --token "$token" --tool fixture__echo --rounds 5 --conns 64 "$@"
