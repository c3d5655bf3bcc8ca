# frozen_string_literal: true

# Descriptions: what the protocol does not allow is refused where it is written.

require "minitest/autorun"
require_relative "../lib/katamari"

class DescribeTest < Minitest::Test
  # The description of one function.
  def described(**options, &block)
    worker = Katamari::Worker.new do
      kind "k"
      handle :f, **options, &block
    end
    worker.description[:functions].first
  end

  def assert_refused(words, &definition)
    error = assert_raises(Katamari::DescriptionError) do
      Katamari::Worker.new(&definition).description
    end
    assert_includes error.message, words
  end

  def test_types
    deep = "#{'[{' * 8}integer#{'}]' * 8}"
    [:string, "any?", "[integer]", "{[number]}?", "[[string?]?]", deep, "[" * 16 + "any" + "]" * 16]
      .each { |type| assert_equal type.to_s, described(result: type) {}[:result] }
    ["", "text", "[string", "string??", "{}", "[#{deep}]", nil].each do |type|
      assert_refused("expected a type") { handle(:f, result: type) {} }
      assert_refused("expected a type") { handle(:f, parameters: { a: type }) { |a:| a } }
    end
  end

  def test_parameters_come_from_the_block
    function = described { |a:, c: 1, b:| [a, b, c] }
    assert_equal [{ name: "a", type: "any" }, { name: "b", type: "any" },
                  { name: "c", type: "any", required: false }], function[:parameters]
  end

  def test_parameters_can_be_declared
    parameters = { b: { type: :integer, doc: "how many", required: false }, a: :string }
    expected = [{ name: "a", type: "string" },
                { name: "b", type: "integer", doc: "how many", required: false }]
    assert_equal expected, described(parameters: parameters) { |a:, b: 1| [a, b] }[:parameters]
    assert_equal expected, described(parameters: parameters) { |**given| given }[:parameters]
  end

  def test_parameters_that_cannot_be
    assert_refused("takes no keyword b") { handle(:f, parameters: { b: :string }) { |a:| a } }
    assert_refused("positional") { handle(:f) { |a| a } }
    assert_refused("positional") { handle(:f) { |*a| a } }
    assert_refused("no default") do
      handle(:f, parameters: { a: { required: false } }) { |a:| a }
    end
    assert_refused("expected the keys") { handle(:f, parameters: { a: { typ: :any } }) { |a:| a } }
    assert_refused("expected parameters") { handle(:f, parameters: [:a]) { |a:| a } }
    assert_refused("more than 100") do
      handle(:f, parameters: { "#{'a' * 101}": :any }) { |**a| a }
    end
    assert_refused("101 parameters") do
      handle(:f, parameters: (1..101).to_h { |n| [:"p#{n}", :any] }) { |**a| a }
    end
  end

  def test_a_block_that_takes_a_block_streams
    assert described { |&emit| emit.call(1) }[:stream]
    assert described(stream: true) { [] }[:stream]
    refute described {}[:stream]
    assert_refused("stream: false") { handle(:f, stream: false) { |&emit| emit.call(1) } }
  end

  def test_functions_that_cannot_be
    assert_refused("expected 1 to 100") { handle("a b") {} }
    assert_refused("expected a block") { handle :f }
    assert_refused("defined twice") { 2.times { handle(:f) {} } }
    assert_refused("its doc") { handle(:f, doc: "x" * 16_385) {} }
    assert_refused("idempotent") { handle(:f, idempotent: nil) {} }
    assert_refused("more than 1000") { 1001.times { |number| handle("f#{number}") {} } }
  end

  def test_workers_that_cannot_be
    assert_refused("needs a kind") { handle(:f) {} }
    assert_refused("at least one function") { kind "k" }
    assert_refused("kind \"a.b\"") { kind "a.b" }
    assert_refused("kind \"a\\n\"") { kind "a\n" }
    assert_refused("means something else") { kind "k", tags: "1" }
    assert_refused("expected a string") { kind "k", grammar: 5 }
    assert_refused("expected a string") { kind "k", grammar: "x" * 201 }
    assert_refused("33 tags") { tags(*Array.new(33) { |number| "t#{number}" }) }
    assert_refused("roles nil") { roles nil }
    [0, 1025, 1.5, "2"].each { |count| assert_refused("expected 1 to 1024") { slots count } }
  end

  def test_a_function_can_be_called_in_a_test
    worker = Katamari::Worker.new do
      kind "k"
      handle(:f) { |a:| [a, remaining, cancelled?, check_cancelled, call_id] }
    end
    assert_equal [1, Float::INFINITY, false, nil, nil], worker[:f].call(a: 1)
  end

  def test_the_cluster_cannot_be_called_outside_of_a_call
    error = assert_raises(RuntimeError) { Katamari::Worker.new.call("a.b") }
    assert_includes error.message, "only while a call runs"
  end

  def test_payloads
    assert_raises(TypeError) { Katamari::Payload.new(5, "a/b") }
    assert_raises(TypeError) { Katamari::Payload.new("", "") }
  end
end
