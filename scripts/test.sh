#!/usr/bin/env bash
# `make test`: formatting, lints, licences, tidiness, and the tests of every language. Ends with a
# line `N passed, N failed` that counts the parts.
#
#   scripts/test.sh          everything
#   scripts/test.sh quick    `make check`: formatting, lints, tidiness, unit tests
#
#   YES=1      install what is missing without asking
#   CI=true    the same, and a part that could not run is a failure
set -euo pipefail
cd "$(dirname "$0")/.."

# What the tests of the chassis and of the query example need from Debian, by the command or the
# file that shows that it is there.
readonly -A debian=(
    [g++]=g++ [make]=make [cmake]=cmake [pkg-config]=pkg-config
    [python3]=python3 [awk]=mawk [curl]=curl [git]=git
    [ip]=iproute2 [setpriv]=util-linux [erl]=erlang-base
    [/usr/lib/erlang/usr/include/ei.h]=erlang-dev [gcc]=gcc
    [/usr/share/doc/erlang-ssl]=erlang-ssl [openssl]=openssl [socat]=socat
    [/bin/nc.openbsd]=netcat-openbsd
    [/usr/include/nlohmann/json.hpp]=nlohmann-json3-dev
    [/usr/include/link-grammar/link-includes.h]=liblink-grammar-dev
    [/usr/share/link-grammar/en/4.0.dict]=link-grammar-dictionaries-en
    [/usr/share/wordnet/data.noun]=wordnet-base
    [ruby]=ruby [/usr/share/doc/ruby-minitest]=ruby-minitest [/usr/share/doc/ruby-rack]=ruby-rack
    [/usr/share/doc/ruby-bert]=ruby-bert
    [node]=nodejs [npm]=npm
    [/usr/share/doc/python3-venv]=python3-venv
    [protoc]=protobuf-compiler [/usr/include/google/protobuf/struct.proto]=libprotobuf-dev
    [thrift]=thrift-compiler [/usr/include/thrift/Thrift.h]=libthrift-dev
    [/usr/include/boost/version.hpp]=libboost-dev [/usr/share/doc/ruby-thrift]=ruby-thrift
)
# Folders whose package-lock.json names what their tests need from npm; it stays in the folder.
readonly bert_npm=$PWD/tests/clients/bert/node_modules/.package-lock.json
readonly jsonrpc_npm=$PWD/tests/clients/jsonrpc/node_modules/.package-lock.json
readonly -A npm=(
    [$PWD/chassis/node/node_modules/.package-lock.json]=chassis/node
    [$bert_npm]=tests/clients/bert
    [$jsonrpc_npm]=tests/clients/jsonrpc
)
# Commands and packages from PyPI, by the file that lists them and what they need; they stay in
# build/venv.
readonly venv=$PWD/build/venv
version=$(python3 -c 'import sys; print("%d.%d" % sys.version_info[:2])' 2>/dev/null || true)
readonly thriftpy2=$venv/lib/python$version/site-packages/thriftpy2
readonly bert_pypi=$venv/lib/python$version/site-packages/bert
readonly jsonrpc_pypi=$venv/lib/python$version/site-packages/jsonrpclib
readonly -A pypi=(
    [$jsonrpc_pypi]=tests/clients/requirements.txt
    [$thriftpy2]=tests/clients/thrift/requirements.txt
    [$venv/bin/openapi-spec-validator]=tests/contract/requirements.txt
    [$venv/bin/gunicorn]=examples/web/requirements.txt
    [$bert_pypi]=tests/clients/bert/requirements.txt
    [$venv/bin/twine]=chassis/python/tests/package/requirements.txt
)
# Tools from crates.io, which are built here and stay here.
readonly -A crates=([cargo-nextest]=cargo-nextest@0.9.143 [cargo-deny]=cargo-deny@0.20.2)
readonly tools=build/tools
export PATH=$PWD/$tools/bin:$PATH
# A process that a part leaves behind has this long to end by itself.
readonly patience_s=5

passed=() failed=() skipped=()
session=

# The processes of a session: their groups may differ, since each worker leads one.
members() {
    local stat line of
    for stat in /proc/[0-9]*/stat; do
        # It may have ended meanwhile.
        line=$(cat "$stat" 2>/dev/null) || continue
        # After the name in parentheses: state, parent, group, session.
        read -r _ _ _ of _ <<<"${line##*) }"
        [[ $of == "$1" && ${line##*) } != Z* ]] && echo "${line%% *}"
    done
    return 0
}

# Ends a part and everything it started.
end_session() {
    local pids
    [[ -n $session ]] || return 0
    mapfile -t pids < <(members "$session")
    ((${#pids[@]} == 0)) || kill -KILL "${pids[@]}" 2>/dev/null || true
    session=
}
trap end_session EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

# part NAME COMMAND...: runs a command in a session of its own, and tells how it went. One that
# leaves processes behind has failed.
part() {
    local name=$1 status=0 begun=$SECONDS left ended
    shift
    printf '\n== %s\n' "$name"
    # What bash starts in the background ignores Ctrl-C; tests that send it must not.
    setsid env --default-signal=INT,QUIT "$@" </dev/null &
    session=$!
    wait "$session" || status=$?
    ended=$SECONDS
    while left=$(members "$session") && [[ -n $left ]] && ((SECONDS - ended < patience_s)); do
        sleep 0.1
    done
    if [[ -n $left ]]; then
        echo "expected no process to be left, got:" >&2
        ps -o pid,args -p "$(tr '\n' ',' <<<"$left" | sed 's/,$//')" >&2 || echo "$left" >&2
        status=1
    fi
    end_session
    if ((status == 0)); then
        passed+=("$name")
        printf '== %s: passed in %s s\n' "$name" $((SECONDS - begun))
    else
        failed+=("$name")
        printf '== %s: FAILED in %s s\n' "$name" $((SECONDS - begun))
    fi
}

# part_with NAME NEED... -- COMMAND...: a part that needs commands or files.
part_with() {
    local name=$1 missing=()
    shift
    while [[ $1 != -- ]]; do
        is_there "$1" || missing+=("${debian[$1]:-$1}")
        shift
    done
    shift
    if ((${#missing[@]} == 0)); then
        part "$name" "$@"
    elif [[ ${CI:-} == true ]]; then
        printf '\n== %s: FAILED, it needs %s\n' "$name" "${missing[*]}"
        failed+=("$name")
    else
        printf '\n== %s: not run, it needs %s\n' "$name" "${missing[*]}"
        skipped+=("$name (needs ${missing[*]})")
    fi
}

is_there() {
    if [[ $1 == /* ]]; then [[ -e $1 ]]; else command -v "$1" >/dev/null; fi
}

agreed() {
    [[ ${CI:-} == true || ${YES:-} == 1 ]] && return 0
    [[ -t 0 ]] || return 1
    local answer
    read -r -p "Install them? [y/N] " answer
    [[ $answer == [yY]* ]]
}

# prepare NEED...: installs what is missing, if that is agreed. Whatever is still missing afterwards
# is noticed by the parts that need it.
prepare() {
    local packages=() builds=() folders=() lists=() need
    for need in "$@"; do
        if is_there "$need"; then
            continue
        elif [[ -n ${crates[$need]:-} ]]; then
            builds+=("${crates[$need]}")
        elif [[ -n ${npm[$need]:-} ]]; then
            folders+=("${npm[$need]}")
        elif [[ -n ${pypi[$need]:-} ]]; then
            lists+=("${pypi[$need]}")
        else
            packages+=("${debian[$need]}")
        fi
    done
    if ((${#packages[@]} + ${#builds[@]} + ${#folders[@]} + ${#lists[@]} == 0)); then
        return
    fi
    echo "== what the tests need and is not there"
    ((${#packages[@]} == 0)) || echo "Debian packages: ${packages[*]}"
    ((${#builds[@]} == 0)) || echo "built into $tools, some minutes each: ${builds[*]}"
    ((${#folders[@]} == 0)) || echo "npm packages, into node_modules of: ${folders[*]}"
    ((${#lists[@]} == 0)) || echo "PyPI packages, into build/venv, as listed in: ${lists[*]}"
    if ! agreed; then
        echo "Nothing was installed."
        return
    fi
    if ((${#packages[@]})) && is_there apt-get; then
        local as_root=()
        ((EUID == 0)) || as_root=(sudo)
        "${as_root[@]}" apt-get update -q &&
            "${as_root[@]}" env DEBIAN_FRONTEND=noninteractive \
                apt-get install -q -y --no-install-recommends "${packages[@]}" || true
    fi
    local crate
    for crate in "${builds[@]}"; do
        cargo install --locked --quiet --root "$tools" "$crate" || true
    done
    local folder
    for folder in "${folders[@]}"; do
        npm ci --prefix "$folder" --ignore-scripts --no-audit --no-fund || true
    done
    local list
    for list in "${lists[@]}"; do
        python3 -m venv "$venv" &&
            "$venv/bin/pip" install --quiet --disable-pip-version-check --requirement "$list" || true
    done
}

summary() {
    printf '\n'
    local name
    for name in "${skipped[@]}"; do echo "not run: $name"; done
    for name in "${failed[@]}"; do echo "failed: $name"; done
    echo "${#passed[@]} passed, ${#failed[@]} failed"
    ((${#failed[@]} == 0))
}

lints() {
    part "formatting" cargo fmt --all --check
    part "clippy" cargo clippy --quiet --workspace --all-targets -- -D warnings
}

tidy() {
    # The whole workspace is built at once, so that nothing is built twice with other features.
    part_with "build of the tests" cargo-nextest -- cargo nextest run --workspace --no-run
    part_with "tidiness" cargo-nextest git -- \
        cargo nextest run --workspace -E 'binary(tidy)' --status-level fail
}

quick() {
    prepare cargo-nextest git
    lints
    tidy
    part_with "unit tests" cargo-nextest -- \
        cargo nextest run --workspace --lib --bins --status-level fail
}

everything() {
    prepare "${!crates[@]}" "${!debian[@]}" "${!npm[@]}" "${!pypi[@]}"
    lints
    part "documentation" env RUSTDOCFLAGS="-D warnings" cargo doc --quiet --workspace --no-deps
    part_with "licences, bans, sources" cargo-deny -- \
        cargo deny --locked check licenses bans sources
    tidy
    local cpp=(g++ make /usr/include/nlohmann/json.hpp)
    part_with "build of the C++ chassis" "${cpp[@]}" -- \
        make -C chassis/cpp build/conformance build/features
    part_with "Rust tests" cargo-nextest python3 awk -- \
        cargo nextest run --workspace -E 'not binary(tidy)' --status-level fail
    part "Rust examples in the documentation" cargo test --quiet --workspace --doc
    part_with "README's example" cargo-nextest python3 curl -- \
        env KATAMARI="${CARGO_TARGET_DIR:-target}/debug/katamari" python3 tests/readme.py
    part_with "contracts and clients" cargo-nextest python3 ruby node protoc thrift \
        /usr/include/google/protobuf/struct.proto "${!npm[@]}" "${!pypi[@]}" -- \
        env KATAMARI="${CARGO_TARGET_DIR:-target}/debug/katamari" \
        "$venv/bin/python" tests/contract/run.py
    # What else a client needs it says itself. Its node of Erlang starts an epmd of its own.
    part_with "third-party clients" cargo-nextest python3 openssl "${!pypi[@]}" -- \
        env KATAMARI="${CARGO_TARGET_DIR:-target}/debug/katamari" \
        "$venv/bin/python" tests/clients/run.py
    part_with "workers of 2008" cargo-nextest erl gcc /usr/lib/erlang/usr/include/ei.h ruby \
        /usr/share/doc/ruby-bert python3 "$bert_pypi" -- \
        env KATAMARI="${CARGO_TARGET_DIR:-target}/debug/katamari" \
        "$venv/bin/python" tests/classic/run.py
    # Without root it says that it did not run.
    part_with "clusters of real processes" cargo-nextest python3 ip setpriv -- \
        cargo run --quiet --package katamari-bench -- cluster --check \
        --katamari "${CARGO_TARGET_DIR:-target}/debug/katamari"
    # The Rust tests build the worker that they call.
    part_with "faceplates under load" cargo-nextest erl -- \
        cargo run --quiet --package katamari-bench -- faceplates --check \
        --katamari "${CARGO_TARGET_DIR:-target}/debug/katamari"
    part_with "idle connections" cargo-nextest erl -- \
        cargo run --quiet --package katamari-bench -- idle --check \
        --katamari "${CARGO_TARGET_DIR:-target}/debug/katamari"
    part_with "Python chassis" python3 -- python3 -m unittest discover -s chassis/python/tests
    part_with "C++ chassis" python3 "${cpp[@]}" -- make -C chassis/cpp test
    local check=("${CARGO_TARGET_DIR:-target}/debug/katamari" check --)
    part_with "Ruby chassis" ruby /usr/share/doc/ruby-minitest /usr/share/doc/ruby-rack -- \
        ruby -w chassis/ruby/test/all.rb
    part_with "Ruby chassis, conformance" cargo-nextest ruby -- \
        "${check[@]}" ruby -w chassis/ruby/test/conformance.rb
    part_with "Node chassis" node npm "${!npm[@]}" -- npm test --prefix chassis/node
    part_with "Node chassis, conformance" cargo-nextest node npm "${!npm[@]}" -- \
        "${check[@]}" node chassis/node/tests/conformance.mjs
    # Packages as those get them who install them from a registry.
    local katamari="${CARGO_TARGET_DIR:-target}/debug/katamari"
    part_with "Python package" cargo-nextest python3 "$venv/bin/twine" -- \
        env KATAMARI="$katamari" "$venv/bin/python" chassis/python/tests/package/run.py
    part_with "C++ package" cargo-nextest python3 "${cpp[@]}" cmake pkg-config -- \
        env KATAMARI="$katamari" python3 chassis/cpp/tests/package/run.py
    part_with "Ruby package" cargo-nextest ruby /usr/share/doc/ruby-rack -- \
        env KATAMARI="$katamari" chassis/ruby/test/package.sh
    part_with "Node package" cargo-nextest node npm "${!npm[@]}" -- \
        env KATAMARI="$katamari" chassis/node/tests/package.sh
    part_with "Rust package" cargo-nextest -- \
        env KATAMARI="$katamari" chassis/rust/tests/package.sh
    part_with "polyglot example" cargo-nextest python3 ruby node npm "${!npm[@]}" -- \
        env KATAMARI="${CARGO_TARGET_DIR:-target}/debug/katamari" \
        bash -c 'cargo build --quiet --package tally && python3 examples/polyglot/test.py'
    part_with "web example" cargo-nextest python3 "${!pypi[@]}" -- \
        env KATAMARI="${CARGO_TARGET_DIR:-target}/debug/katamari" \
        "$venv/bin/python" examples/web/test.py
    part_with "query example" python3 "${cpp[@]}" pkg-config \
        /usr/include/link-grammar/link-includes.h /usr/share/link-grammar/en/4.0.dict \
        /usr/share/wordnet/data.noun -- make -C examples/query test
}

if ! command -v cargo >/dev/null; then
    echo "Katamari is built with Rust: see https://rustup.rs" >&2
    exit 1
fi
case ${1:-everything} in
    quick) quick ;;
    everything) everything ;;
    *) echo "expected quick or nothing, got $1" >&2 && exit 2 ;;
esac
summary
