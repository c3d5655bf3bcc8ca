# frozen_string_literal: true

# The conformance worker, by which `katamari check` tests this chassis in full.

require "digest"

# Beside the library: so that the command needs no -I.
require_relative "../lib/katamari"

# Seconds between two looks at the cancellation.
STEP = 0.01

Katamari.worker do
  kind "conformance", chassis: "ruby"
  tags "conformance"
  slots Integer(ENV.fetch("KATAMARI_CONFORMANCE_SLOTS", "1"))

  handle(:echo, idempotent: true) { |value:| value }

  handle :add, doc: "Adds.", idempotent: true, result: :integer,
               parameters: { a: :integer, b: :integer, c: :integer } do |a:, b:, c: 0|
    a + b + c
  end

  handle :fail, parameters: { message: :string } do |message:|
    raise message
  end

  handle :sleep, parameters: { ms: :integer }, result: :string do |ms:|
    finish = Process.clock_gettime(Process::CLOCK_MONOTONIC) + (ms / 1000.0)
    loop do
      check_cancelled
      left = finish - Process.clock_gettime(Process::CLOCK_MONOTONIC)
      return "slept" if left <= 0

      sleep [STEP, left].min
    end
  end

  handle :remaining, result: :integer do
    (remaining * 1000).to_i
  end

  handle :count, parameters: { to: :integer, size: :integer } do |to:, size:, &emit|
    (1..to).each { |number| emit.call(size.positive? ? "x" * size : number) }
  end

  handle :nested, parameters: { kind: :string, function: :string, arguments: :object },
                  result: :object do |kind:, function:, arguments:|
    { result: caller_of(kind).call(function, **arguments.transform_keys(&:to_sym)) }
  rescue Katamari::CallError => e
    { error: e.code }
  end

  handle(:last) { |value:| Katamari::Last.new(value) }

  handle :print, parameters: { text: :string } do |text:|
    puts text
    warn text
  end

  handle :measure, input: true, result: :object do
    bytes = 0
    sum = Digest::SHA256.new
    input.each do |piece|
      bytes += piece.bytesize
      sum << piece
    end
    { bytes: bytes, sha256: sum.hexdigest }
  end

  # Whether descriptors 3 and 4 are closed in a child.
  handle :leak, result: :boolean do
    system("test ! -e /proc/self/fd/3 && test ! -e /proc/self/fd/4", close_others: false)
  end
end
