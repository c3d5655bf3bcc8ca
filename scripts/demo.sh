#!/usr/bin/env bash
# `make demo`: builds Katamari and the query example, runs it, stops it, and checks that nothing
# stays behind. Where link-grammar cannot be had it runs examples/hello instead.
#
#   YES=1 or CI=true       install the Debian packages without asking
#   KATAMARI=PATH          use this binary instead of building one
set -euo pipefail
cd "$(dirname "$0")/.."

readonly tools=(g++ make pkg-config python3)
readonly libraries=(liblink-grammar-dev link-grammar-dictionaries-en nlohmann-json3-dev
    wordnet-base)
readonly stop_patience_s=30

katamari_pid=
scratch=$(mktemp -d)

finish() {
    if [[ -n $katamari_pid ]]; then
        kill -KILL "$katamari_pid" 2>/dev/null || true
    fi
    rm -rf "$scratch"
}
trap finish EXIT

say() { printf '\n== %s\n' "$*"; }

missing_packages() {
    local package
    for package in "$@"; do
        if ! dpkg-query -W -f '${Status}' "$package" 2>/dev/null | grep -q 'ok installed'; then
            echo "$package"
        fi
    done
}

agreed() {
    [[ ${CI:-} == true || ${YES:-} == 1 ]] && return 0
    [[ -t 0 ]] || return 1
    local answer
    read -r -p "Install them? [y/N] " answer
    [[ $answer == [yY]* ]]
}

# Whether everything the query example needs is there, after asking.
prepare_packages() {
    if ! command -v apt-get dpkg-query >/dev/null; then
        echo "This is no Debian; the query example needs ${tools[*]} ${libraries[*]}."
        return 1
    fi
    local missing
    mapfile -t missing < <(missing_packages "${tools[@]}" "${libraries[@]}")
    ((${#missing[@]})) || return 0
    echo "The demo needs these Debian packages: ${missing[*]}"
    agreed || return 1
    local as_root=()
    ((EUID == 0)) || as_root=(sudo)
    "${as_root[@]}" apt-get update -q &&
        "${as_root[@]}" apt-get install -q -y --no-install-recommends "${missing[@]}"
}

build_katamari() {
    if [[ -z ${KATAMARI:-} ]]; then
        if ! command -v cargo >/dev/null; then
            echo "Katamari is built with Rust: see https://rustup.rs" >&2
            exit 1
        fi
        cargo build --release -p katamari
        KATAMARI=${CARGO_TARGET_DIR:-target}/release/katamari
    fi
}

# The processes below $1, without $1 itself.
descendants() {
    local child
    for child in $(cat "/proc/$1/task/"*/children 2>/dev/null); do
        echo "$child"
        descendants "$child"
    done
}

# Whether process $1 runs. A zombie does not: it only waits for its parent to look.
runs() {
    local state
    state=$(sed -n 's/^State:[[:space:]]*//p' "/proc/$1/status" 2>/dev/null) && [[ $state != Z* ]]
}

# Waits until process $1 has ended.
ends() {
    local tenths
    for ((tenths = 0; tenths < stop_patience_s * 10; tenths++)); do
        runs "$1" || return 0
        sleep 0.1
    done
    echo "process $1 still runs after $stop_patience_s s: $(tr '\0' ' ' <"/proc/$1/cmdline")" >&2
    return 1
}

stop_katamari() {
    local processes pid status=0
    mapfile -t processes < <(descendants "$katamari_pid")
    kill -TERM "$katamari_pid"
    ends "$katamari_pid" || return 1
    wait "$katamari_pid" || status=$?
    katamari_pid=
    if ((status != 0)); then
        echo "katamari ended with status $status" >&2
        return 1
    fi
    # The sentinel, which cleans up behind katamari, ends a moment after it.
    for pid in "${processes[@]}"; do
        ends "$pid" || return 1
    done
    echo "katamari has ended, and its ${#processes[@]} processes with it."
}

# Runs examples/$1 with its demo.py.
run_example() {
    say "katamari up examples/$1/katamari.toml"
    "$KATAMARI" up "examples/$1/katamari.toml" --ready-file "$scratch/ready" \
        >"$scratch/log" 2>&1 &
    katamari_pid=$!
    local status=0
    until [[ -e $scratch/ready ]]; do
        if ! kill -0 "$katamari_pid" 2>/dev/null; then
            katamari_pid=
            echo "katamari did not start:" >&2
            cat "$scratch/log" >&2
            return 1
        fi
        sleep 0.1
    done
    python3 "examples/$1/demo.py" --ready-file "$scratch/ready" || status=$?
    if ((status != 0)); then
        echo "The last lines of katamari's log:" >&2
        tail -n 40 "$scratch/log" >&2
    fi
    say "stopping"
    stop_katamari || status=1
    return "$status"
}

example=query
say "packages"
if prepare_packages; then
    echo "all there"
else
    echo "Without link-grammar there is no query example; here is examples/hello instead."
    example=hello
fi
say "building"
build_katamari
if [[ $example == query ]]; then
    make -C examples/query
fi
run_example "$example"
