# frozen_string_literal: true

# The exceptions of the chassis.
module Katamari
  # A nested call failed. `code` is one of Katamari's error codes, `text` the message alone.
  class CallError < StandardError
    attr_reader :code, :text

    def initialize(code, text)
      super("#{code}: #{text}")
      @code = code
      @text = text
    end
  end

  # The answer to the running call is no longer wanted. `reason` is `deadline`, `client_left` or
  # `shutdown`.
  class Cancelled < StandardError
    attr_reader :reason

    def initialize(reason)
      super("cancelled")
      @reason = reason
    end
  end

  # A result, or one piece of a stream, does not fit into a frame.
  class TooLarge < StandardError; end

  # The worker, or one of its functions, cannot be described to a manager.
  class DescriptionError < ArgumentError; end

  # The manager sent what the protocol does not allow; the worker cannot go on.
  class ProtocolError < StandardError; end
end
