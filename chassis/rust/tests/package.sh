#!/usr/bin/env bash
# Packs the crate as for crates.io, builds it from that package alone, and checks its worker.
set -euo pipefail
KATAMARI=$(realpath "$KATAMARI")
cd "$(dirname "$0")/../../.."

readonly target=${CARGO_TARGET_DIR:-target}
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT

# What fails is shown, and the count.
check() {
    "$KATAMARI" check -- "$@" | sed '/^ok /d; /^skipped /d; /^$/d'
}

# What is not committed yet counts. Building is done below, with the example.
cargo package --quiet --package katamari-worker --allow-dirty --no-verify
crate=$(ls -t "$target"/package/katamari-worker-*.crate | head -n 1)
tar -xzf "$crate" -C "$folder" --strip-components 1
for file in src/lib.rs examples/conformance.rs README.md LICENSE-MIT LICENSE-APACHE; do
    [[ -f $folder/$file ]] || { echo "expected $file in the crate" >&2; exit 1; }
done
[[ ! -e $folder/tests ]] || { echo "expected no tests in the crate" >&2; exit 1; }
if grep -n '^path = "\.\.' "$folder/Cargo.toml"; then
    echo "expected no dependency outside of the crate" >&2
    exit 1
fi

CARGO_TARGET_DIR=$target cargo build --quiet --locked --manifest-path "$folder/Cargo.toml" \
    --example conformance
check "$target/debug/examples/conformance"
