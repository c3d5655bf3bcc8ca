# frozen_string_literal: true

# A session: one conversation between this worker and its manager.
#
# Here is what one slot and many have in common: the interrogation, running a call to the frame
# that ends it, streaming, and what a nested call looks like. `one_slot` and `many_slots` add who
# reads, who writes, and who waits.

require_relative "failures"
require_relative "frames"
require_relative "input"
require_relative "values"

module Katamari
  # A call that runs, and what has been heard about it since it came.
  class Call
    attr_reader :id, :header, :deadline, :inlet
    attr_accessor :cancelled, :credit, :input

    # `deadline` is on the clock of `Session.now`, `credit` what its stream may still send, in
    # bytes, and what of its input may be on its way. `cancelled` is the reason, once it is;
    # `input`, what its function reads, once it has asked.
    def initialize(header, deadline, credit)
      @id = header["id"]
      @header = header
      @deadline = deadline
      @credit = credit
      @inlet = Inlet.new(header["input"] == true, credit)
      @cancelled = nil
      @input = nil
    end
  end

  # The common part; see the top of this file. What a subclass adds:
  #
  # - `serve`: answers calls until the manager says quit; with one slot, until the last call
  # - `current`: the call that the calling thread runs
  # - `refresh(call)`: takes in what the manager has sent; does not wait
  # - `wait_for(call) { }`: waits until the block gives something, and returns it; raises `Cancelled`
  # - `write(frame)`: writes a frame, whole
  # - `ask(call, header, payload)`: makes a nested call and waits for its value; raises `CallError`
  class Session
    # Bytes that a stream may send before the first flow frame, unless the welcome says.
    STREAM_CREDIT_DEFAULT = 256 * 1024

    PONG = Frames.pack(Frames::PONG, "{}".b, "".b, Frames::FRAME_MAX_DEFAULT).freeze

    # Seconds on a clock that nobody sets.
    def self.now
      Process.clock_gettime(Process::CLOCK_MONOTONIC)
    end

    def initialize(description, functions, input, output)
      @description = description
      @functions = functions
      @reader = FrameReader.new(input)
      @output = output
      @frame_max = Frames::FRAME_MAX_DEFAULT
      @stream_credit = STREAM_CREDIT_DEFAULT
      @pid = Process.pid
    end

    # The whole session: interrogation, then calls, until its end.
    def run
      serve if interrogate
    rescue Errno::EPIPE
      nil # the manager is gone, as at the end of descriptor 3
    end

    # The calling thread's call; nil outside, and in a forked child, which is no worker.
    def running
      current if Process.pid == @pid
    end

    # Whether a call is cancelled, as far as the manager has told.
    def cancelled?(call)
      refresh(call) if call.cancelled.nil?
      !call.cancelled.nil?
    end

    # What the call's function reads.
    def input(call)
      call.input ||= Input.new(self, call)
    end

    # Waits for a piece of the call's input; nil at the end. Raises `Cancelled`.
    def next_piece(call)
      grant(call)
      piece = wait_for(call) { call.inlet.take }
      return nil if piece.empty?

      grant(call)
      piece
    end

    private

    # Says hello and waits for the welcome. False if told to quit instead.
    def interrogate
      write(Frames.pack(Frames::HELLO, %({"protocol":#{Descriptors::PROTOCOL}}).b,
                        Values.dump(@description), @frame_max))
      loop do
        type, header, = @reader.next
        case type
        when nil, Frames::QUIT then return false
        when Frames::PING then write(PONG)
        when Frames::WELCOME
          welcome(header)
          return true
        else raise ProtocolError, "a frame #{type.inspect} before the welcome"
        end
      end
    end

    def welcome(header)
      @frame_max = @reader.frame_max = header.fetch("frame_max", @frame_max)
      @stream_credit = header.fetch("stream_credit", @stream_credit)
    end

    # The call that a call frame brings; its time starts to run.
    def start(header)
      id, timeout_ms = header.values_at("id", "timeout_ms")
      unless id.is_a?(Integer) && timeout_ms.is_a?(Numeric) && @functions.key?(header["function"])
        raise ProtocolError, "a call with a bad header: #{header.inspect}"
      end

      Call.new(header, Session.now + (timeout_ms / 1000.0), @stream_credit)
    end

    # Notes what the manager says of a call that runs.
    def tell(call, frame)
      type, header, payload = frame
      case type
      when Frames::FLOW then call.credit += header["bytes"]
      when Frames::INPUT then call.inlet.push(header, payload)
      else call.cancelled = header["reason"].to_s
      end
    end

    # Runs a call. Returns the frame that ends it, and whether it is the last.
    def execute(call, payload)
      function = @functions[call.header["function"]]
      last = false
      arguments = Values.decode(payload, call.header["content_type"])
      result = function.stream ? stream(call, function, arguments) : function.call(arguments)
      if result.is_a?(Last)
        last = true
        result = result.value
      end
      [reply(call, function, result, last), last]
    rescue ProtocolError
      raise # met while the function looked around, and no fault of it
    rescue SystemExit, Interrupt => e
      # Somebody wants this process to end. So it does, but in good order: its caller learns why,
      # and the call is not tried on one worker after another.
      [Failures.frame(call.id, e, true, @frame_max), true]
    rescue SignalException
      raise # such as SIGTERM, which ends a process at once
    rescue Exception => e # rubocop:disable Lint/RescueException
      [Failures.frame(call.id, e, last, @frame_max), last]
    end

    def reply(call, function, result, last)
      if function.stream && result.nil?
        payload = "".b
      else
        payload, content_type = Values.encode(result, bytes: function.returns_bytes?)
      end
      frame = Frames.pack(Frames::REPLY, header(call, content_type, last), payload, @frame_max)
      # The last value of a stream is a last piece; no other will need what is left.
      take_credit(call, 0) unless payload.empty? || !function.stream
      frame
    end

    def header(call, content_type = nil, last = false)
      return %({"id":#{call.id}}).b if content_type.nil? && !last

      fields = { id: call.id, content_type: content_type, last: last || nil }.compact
      Values.dump(fields)
    end

    # Runs a function that streams and sends its pieces. Returns its last piece if it returns one, a
    # `Last` or a `Payload`, or nil.
    def stream(call, function, arguments)
      emit = lambda do |piece|
        payload, content_type = Values.encode(piece, bytes: function.returns_bytes?)
        frame = Frames.pack(Frames::STREAM, header(call, content_type), payload, @frame_max)
        take_credit(call, payload.bytesize)
        write(frame)
        nil
      end
      result = function.emits? ? function.call(arguments, &emit) : function.call(arguments)
      return result if result.is_a?(Last) || result.is_a?(Payload)

      send_each(function, result, emit) unless function.emits?
      nil
    end

    def send_each(function, pieces, emit)
      unless pieces.respond_to?(:each)
        raise TypeError, "#{function.name} streams: expected something with `each`, such as an " \
                         "Enumerator, or a block that takes a block; it returned #{pieces.class}"
      end
      pieces.each { |piece| emit.call(piece) }
    end

    # Asks for more of the input, if it is the time.
    def grant(call)
      bytes = call.inlet.grant
      return if bytes.nil?

      write(Frames.pack(Frames::GRANT, %({"id":#{call.id},"bytes":#{bytes}}).b, "".b, @frame_max))
    end

    # Waits until the call may stream, and uses up so much of its credit.
    def take_credit(call, size)
      wait_for(call) { call.credit -= size if call.credit.positive? }
    end

    def nested_frame(nested_id, call, header, payload)
      fields = { id: nested_id, parent: call.id, **header }
      Frames.pack(Frames::NESTED, Values.dump(fields), payload, @frame_max)
    rescue TooLarge => e
      raise CallError.new("too_large", e.message)
    end

    # The value of a nested answer, or its error raised.
    def nested_value(frame)
      type, header, payload = frame
      if type == Frames::NESTED_ERROR
        raise CallError.new(header["code"].to_s, header["message"].to_s)
      end

      Values.decode(payload, header["content_type"])
    end

    # Why a nested call got no answer when descriptor 3 ended.
    def manager_gone
      CallError.new("stopping", "the manager has closed the connection")
    end
  end
end
