# frozen_string_literal: true

# A worker with the functions that the tests need beyond the conformance worker's.
#
#     ruby sample.rb [slots]

require "digest"
require "set"
require "timeout"
require_relative "../lib/katamari"

SLOTS = Integer(ARGV.fetch(0, "1"))
SEEN = []
GATE = Queue.new

# A message that cannot be had.
class Mute < StandardError
  def message
    raise "no words"
  end
end

# Methods can be functions, too.
class Shop
  def price(of:, count: 1)
    "#{count} #{of}"
  end
end

MADE = {
  "nan" => -> { Float::NAN },
  "infinity" => -> { [Float::INFINITY] },
  "not UTF-8" => -> { "\xff" },
  "circle" => -> { [].tap { |circle| circle << circle } },
  "nil" => -> {},
  "symbols" => -> { { a: :b } },
  "unicode" => -> { "pâté \u2028 🍣" },
  "last nan" => -> { Katamari::Last.new(Float::NAN) }
}.freeze

RAISED = {
  "empty" => -> { raise ArgumentError, "" },
  "mute" => -> { raise Mute },
  "long" => -> { raise ArgumentError, "\0" * 100_000 },
  "binary" => -> { raise "\xff".b },
  "exit" => -> { exit 3 },
  "interrupt" => -> { raise Interrupt },
  "exception" => -> { raise NotImplementedError, "not here" },
  "cause" => lambda {
    begin
      raise KeyError, "inner"
    rescue KeyError
      raise ArgumentError, "outer"
    end
  }
}.freeze

worker = Katamari::Worker.new do
  kind "sample", model: "1.2"
  tags :en, :de
  roles "r"
  slots SLOTS

  handle :options do |first:, third:, second: 2, fourth: 4|
    [first, second, third, fourth]
  end

  handle(:price, parameters: { of: :string }, &Shop.new.method(:price))

  handle(:size_of, parameters: { data: :bytes }) { |data:| data.bytesize }

  handle :retype do |payload:|
    Katamari::Payload.new(payload.data.reverse, "#{payload.content_type}+reversed")
  end

  handle(:octets, result: :bytes) { |size:| "\xff".b * size }

  handle(:make) { |what:| MADE.fetch(what).call }

  handle(:text_of) { |size:| "x" * size }

  handle(:raise_it) { |what:| RAISED.fetch(what).call }

  handle :recurse do
    recurse = -> { recurse.call }
    recurse.call
  end

  handle :nap do |seconds:|
    sleep seconds
    "rested"
  end

  handle :wait_for_cancel do
    loop do
      check_cancelled
      sleep 0.001
    end
  rescue Katamari::Cancelled => e
    e.reason
  end

  handle :numbers do |to:, fail_at: 0, size: 0, &emit|
    (1..to).each do |number|
      raise ArgumentError, "no #{number}" if number == fail_at

      emit.call(size.positive? ? "x" * size : number)
    end
  ensure
    SEEN << "closed"
  end

  handle :lines, stream: true do |text:|
    text.each_line(chomp: true)
  end

  handle :endless, stream: true do |size:|
    Enumerator.new do |pieces|
      loop { pieces << ("x" * size) }
    ensure
      SEEN << "enumerator closed"
    end
  end

  handle(:no_stream, stream: true) { 5 }

  handle :last_numbers do |&emit|
    emit.call(1)
    Katamari::Last.new(2)
  end

  handle :last_value do |size:, &emit|
    emit.call("x" * size)
    Katamari::Last.new("end")
  end

  handle :chunks, result: :bytes do |&emit|
    emit.call("\0\1")
    emit.call(Katamari::Payload.new("<p>", "text/html"))
  end

  handle :pieces, input: true do
    [input.map(&:bytes), input.content_type]
  end

  handle(:read_sizes, input: true) { |sizes:| sizes.map { |size| input.read(size).bytesize } }

  handle :wait_then_read, input: true do
    call("other.thing")
    input.read
  end

  handle :like_a_file, input: true do
    seen = [input.read(1), input.gets, input.gets, input.gets, input.readpartial(1)]
    input.readpartial(4) == "ghijklm" and raise "more than was asked for"
    input.ungetbyte("gh")
    seen.push(input.read(2), input.read(100), input.read(1), input.read, input.gets)
    begin
      input.readpartial(1)
    rescue EOFError => e
      seen << e.class
    end
  end

  handle :upper, input: true do |&emit|
    input.each { |piece| emit.call(piece.upcase) }
  end

  handle(:digest, input: true) { input.inject(Digest::SHA256.new, :<<).hexdigest }

  handle(:what_was_seen) { SEEN }

  handle :relay do |function:, arguments:, options: {}|
    given = options.transform_keys(&:to_sym)
    payload = given.delete(:payload)
    arguments = [Katamari::Payload.new(payload, "text/plain")] if payload
    other = given.delete(:kind) || "other"
    got = caller_of(other, **given).call(function, *arguments)
    got.is_a?(Katamari::Payload) ? { payload: got.data, type: got.content_type } : got
  end

  handle(:call_by_target) { |target:, size: 1| call(target, text: "t" * size) }

  handle(:relay_then_look) { |function:| [call("other.#{function}"), cancelled?] }

  # Gives up the first nested call, and makes another.
  handle :impatient do
    begin
      Timeout.timeout(0.05) { call("other.slow") }
    rescue Timeout::Error
      SEEN << "gave up"
    end
    call("other.quick")
  end

  handle(:about_the_call) { [call_id, call_key, call_class] }

  handle :from_a_thread do
    Thread.new do
      call("other.thing")
    rescue StandardError => e
      e.message
    end.value
  end

  # Returns only if as many calls as there are slots run at the same time.
  handle :meet do
    GATE << true
    sleep 0.001 until GATE.size >= SLOTS
    Thread.current.name
  end

  handle(:environment) { `echo "${KATAMARI_PROTOCOL-unset}"`.chomp }

  # What a forked child sees: whether 3 and 4 are open, whether it may call.
  handle :forked do
    read, write = IO.pipe
    pid = fork do
      found = [3, 4].map { |number| File.exist?("/proc/self/fd/#{number}") }
      begin
        call("other.thing")
      rescue RuntimeError
        found << cancelled?
      end
      write.write(found.inspect)
      write.close
      exit!(0)
    end
    Process.wait(pid)
    write.close
    read.read
  end
end

worker.run
puts "after run"
