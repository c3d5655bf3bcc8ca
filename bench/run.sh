#!/usr/bin/env bash
# Builds Katamari and the bench, installs the peers, and measures. Arguments go to katamari-bench:
#   bench/run.sh echo --runs 3
set -euo pipefail

cd "$(dirname "$0")/.."
bench/setup.sh
cargo build --release --package katamari --package katamari-bench
cargo build --release --package katamari-worker --example echo
exec target/release/katamari-bench "$@"
