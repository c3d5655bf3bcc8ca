#!/usr/bin/env bash
# Packs the package, installs it into an empty folder, and checks workers that import it there, one
# of them compiled by TypeScript.
set -euo pipefail
KATAMARI=$(realpath "$KATAMARI")
cd "$(dirname "$0")/.."

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT

# What fails is shown, and the count.
check() {
    "$KATAMARI" check -- "$@" | sed '/^ok /d; /^skipped /d; /^$/d'
}

# What comes last is the name of the file.
package=$(npm pack --silent --pack-destination "$folder" | tail -n 1)
echo '{ "type": "module", "private": true }' >"$folder/package.json"
npm install --prefix "$folder" --offline --silent --no-audit --no-fund "$folder/$package"
installed=$folder/node_modules/katamari
for file in dist/index.js dist/index.d.ts README.md LICENSE-MIT LICENSE-APACHE; do
    [[ -f $installed/$file ]] || { echo "expected $file in the package" >&2; exit 1; }
done
[[ ! -e $installed/src && ! -e $installed/tests ]] ||
    { echo "expected neither sources nor tests in the package" >&2; exit 1; }

cp tests/conformance.mjs "$folder"
check node "$folder/conformance.mjs"
# The program that the README begins with, and the tests of the types.
awk '/^```js$/ { on = 1; next } /^```$/ { on = 0 } on' README.md >"$folder/greet.ts"
cp tests/types.ts "$folder"
node_modules/.bin/tsc --strict --target es2022 --module node16 --moduleResolution node16 \
    --types node --typeRoots "$PWD/node_modules/@types" "$folder/greet.ts" "$folder/types.ts"
check node "$folder/greet.js"
