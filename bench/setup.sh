#!/usr/bin/env bash
# Installs the servers that the bench compares Katamari with: haproxy and Erlang from Debian, the
# others from PyPI into bench/.venv. Shows what it would do and asks first, unless CI=true or YES=1.
set -euo pipefail

bench=$(cd "$(dirname "$0")" && pwd)
venv=$bench/.venv
requirements=$bench/requirements.txt
# The list as it was installed: another one is installed anew.
installed=$venv/requirements.txt

packages=()
command -v haproxy >/dev/null || packages+=(haproxy)
command -v erl >/dev/null || packages+=(erlang-base)
python3 -c 'import ensurepip, venv' 2>/dev/null || packages+=(python3-venv)

steps=()
if ((${#packages[@]})); then
    steps+=("Debian packages: ${packages[*]}")
fi
if ! cmp -s "$requirements" "$installed"; then
    steps+=("into $venv: $(grep -v '^#' "$requirements" | tr '\n' ' ')")
fi
if ((${#steps[@]} == 0)); then
    exit 0
fi

echo "The bench needs to install:"
printf '  %s\n' "${steps[@]}"
if [[ ${CI:-} != true && ${YES:-} != 1 ]]; then
    read -r -p "Go on? [y/N] " answer
    [[ $answer == [yY]* ]] || { echo "Nothing was installed." >&2; exit 1; }
fi

if ((${#packages[@]})); then
    as_root=()
    [[ $(id -u) == 0 ]] || as_root=(sudo)
    "${as_root[@]}" apt-get update
    # Debian starts a service that it installs; the bench starts its own haproxy.
    "${as_root[@]}" env DEBIAN_FRONTEND=noninteractive \
        apt-get install --yes --no-install-recommends "${packages[@]}"
fi
if ! cmp -s "$requirements" "$installed"; then
    python3 -m venv "$venv"
    "$venv/bin/pip" install --quiet --requirement "$requirements"
    cp "$requirements" "$installed"
fi
