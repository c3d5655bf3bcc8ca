#!/usr/bin/env bash
# Builds the gem, installs it into a folder of its own, and checks workers that require it there.
set -euo pipefail
KATAMARI=$(realpath "$KATAMARI")
cd "$(dirname "$0")/.."

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT

# What fails is shown, and the count.
check() {
    "$KATAMARI" check -- "$@" | sed '/^ok /d; /^skipped /d; /^$/d'
}
export GEM_HOME=$folder/gems

gem build --strict --silent --output "$folder/katamari.gem" katamari.gemspec
gem install --local --no-document --silent "$folder/katamari.gem"
version=$(ruby -I lib -r katamari/version -e 'print Katamari::VERSION')
installed=$GEM_HOME/gems/katamari-$version
for file in lib/katamari.rb bin/katamari-rack README.md LICENSE-MIT LICENSE-APACHE; do
    [[ -f $installed/$file ]] || { echo "expected $file in the gem" >&2; exit 1; }
done
[[ ! -e $installed/test ]] || { echo "expected no tests in the gem" >&2; exit 1; }

# The worker of the tests, with the gem in place of the folder beside it.
sed 's|require_relative "../lib/katamari"|require "katamari"|' test/conformance.rb \
    >"$folder/conformance.rb"
check ruby -w "$folder/conformance.rb"
# The program that the README begins with.
awk '/^```ruby$/ { on = 1; next } /^```$/ { on = 0 } on' README.md >"$folder/greet.rb"
check ruby -w "$folder/greet.rb"
check "$GEM_HOME/bin/katamari-rack" "$PWD/test/shop/config.ru"
