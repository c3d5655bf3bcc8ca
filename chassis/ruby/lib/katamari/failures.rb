# frozen_string_literal: true

# What a caller gets to see of an exception.

require_relative "frames"

module Katamari
  # Makes the error frame that ends a call.
  module Failures
    # Bytes of a message: JSON makes at most 6 bytes of one, a header holds 65535.
    MESSAGE_MAX = 8 * 1024

    # Characters of the exception's class, for the same reason.
    TYPE_MAX = 200

    # Bytes of a backtrace.
    BACKTRACE_MAX = 64 * 1024

    # Exceptions in a chain of causes that are shown.
    CAUSES_MAX = 10

    HERE = "#{__dir__}/"

    module_function

    def frame(call_id, error, last, frame_max)
      fields = { id: call_id, message: cut(message(error), MESSAGE_MAX), type: type(error) }
      fields[:last] = true if last
      header = Values.dump(fields)
      room = [BACKTRACE_MAX, frame_max - header.bytesize - Frames::COUNTED].min
      Frames.pack(Frames::ERROR, header, cut(backtrace(error), [room, 0].max).b, frame_max)
    end

    def type(error)
      clean(error.class.to_s)[0, TYPE_MAX]
    end

    def message(error)
      return "the function ended the worker: exit(#{error.status})" if error.is_a?(SystemExit)

      message = clean(error.message)
      message.empty? ? type(error) : message
    rescue StandardError # a broken message must not cost the worker its life
      "#{type(error)}, whose message cannot be shown"
    end

    # The error and its causes, as Ruby shows them, without the chassis's own lines.
    def backtrace(error)
      chain = []
      while error && chain.size < CAUSES_MAX && !chain.include?(error)
        chain << error
        error = error.cause
      end
      chain.map { |one| "#{message(one)} (#{type(one)})\n#{lines(one)}" }.join
    end

    def lines(error)
      own = (error.backtrace || []).reject { |line| line.start_with?(HERE) }
      own.map { |line| "\tfrom #{clean(line)}\n" }.join
    end

    # The beginning of the text, as far as `size` bytes reach.
    def cut(text, size)
      text.bytesize <= size ? text : text.byteslice(0, size).scrub("")
    end

    # The text in UTF-8, whatever it was.
    def clean(text)
      text = text.to_s
      text = text.encoding == Encoding::BINARY ? text.dup.force_encoding(Encoding::UTF_8) : text
      text.encode(Encoding::UTF_8, invalid: :replace, undef: :replace).scrub
    end
  end
end
