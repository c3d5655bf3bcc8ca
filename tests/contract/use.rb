# Uses the client that `katamari client ruby` wrote.

require "client"

def same(expected, got)
  raise "expected #{expected.inspect}, got #{got.inspect}" unless expected == got
end

def refused(code)
  yield
rescue KatamariError => e
  same(code, e.code)
  same(16, e.id.size) unless code == "bad_request"
else
  raise "expected #{code}"
end

typed = TypedKind.new(ARGV[0])
same("a-b", typed.join(words: %w[a b], between: "-"))
same("a", typed.join(words: ["a"]))
same({ "x" => 3.0 }, typed.scale(vector: { x: 1.5 }, by: 2))
same({ "any" => "é", "self" => nil }, typed.from(any: "é", self_: nil))
same("cba", typed.reverse("abc"))
same([1, 2], typed.count(to: 2).to_a)
pieces = []
typed.count(to: 2) { |piece| pieces << piece }
same([1, 2], pieces)
same([1, 2], typed.count(to: 3).first(2))
careful = typed.with_options(timeout_s: 5, call_class: :high, key: "k", idempotent: true)
same("", careful.join(words: []))
refused("worker_error") { typed.fail(message: "no") }
refused("bad_arguments") { typed.join(words: [1]) }
refused("worker_error") { typed.count(to: 9).to_a }
refused("bad_request") { typed.with_options(call_class: :top).join(words: []) }
