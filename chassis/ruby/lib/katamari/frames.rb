# frozen_string_literal: true

# Frames: how bytes travel on both descriptors.
#
#     u32 length | u8 type | u16 header length | header (JSON) | payload
#
# The integers are big-endian; the length counts what follows it.

require "io/wait"
require_relative "errors"
require_relative "values"

module Katamari
  # What both directions share.
  module Frames
    # To the worker.
    WELCOME = "W"
    PING = "P"
    CALL = "C"
    FLOW = "F"
    CANCEL = "X"
    ANSWER = "A"
    NESTED_ERROR = "B"
    QUIT = "Q"
    INPUT = "I"
    # From the worker.
    HELLO = "H"
    PONG = "O"
    REPLY = "R"
    ERROR = "E"
    STREAM = "S"
    NESTED = "N"
    GRANT = "G"

    # The greatest length of a frame, in bytes, until the welcome says otherwise.
    FRAME_MAX_DEFAULT = (16 * 1024 * 1024) + (64 * 1024)

    # Bytes of a header: its length is a u16.
    HEADER_MAX = 0xFFFF

    LENGTH_SIZE = 4
    PREFIX_SIZE = 7
    PREFIX = "NA1n"

    # Bytes of the frame that the length counts and that are no header and no payload.
    COUNTED = PREFIX_SIZE - LENGTH_SIZE

    # One frame. Raises `TooLarge` if its length would exceed `frame_max`. Header and payload are
    # binary strings.
    def self.pack(type, header, payload, frame_max)
      length = COUNTED + header.bytesize + payload.bytesize
      if length > frame_max || header.bytesize > HEADER_MAX
        raise TooLarge,
              "#{payload.bytesize} bytes with a header of #{header.bytesize} do not fit into a " \
              "frame: at most #{frame_max} bytes, #{HEADER_MAX} of them the header"
      end
      [length, type, header.bytesize].pack(PREFIX) << header << payload
    end
  end

  # Reads frames from a pipe, usually a whole one with a single read. What was read beyond the
  # current frame waits in a buffer.
  class FrameReader
    # Bytes asked for at a time: what a pipe holds, so that one read gets a whole call.
    READ_SIZE = 64 * 1024

    # Bytes asked for at a time while a large frame is coming in.
    READ_SIZE_MAX = 1024 * 1024

    attr_writer :frame_max

    def initialize(io)
      @io = io
      @frame_max = Frames::FRAME_MAX_DEFAULT
      @buffer = String.new(encoding: Encoding::BINARY)
      @ended = false
    end

    # The next frame, as type, header and payload; waits for it. nil at the end of the input.
    #
    # `guarded` is for reads in the middle of a function, which may be interrupted by an exception
    # from another thread, as `Timeout` does, and may catch it: nothing that was read is lost.
    def next(guarded: false)
      until (frame = take)
        return nil if @ended

        guarded ? fill_guarded : fill
      end
      frame
    end

    # The next frame if it is here already, else nil. Never waits.
    def next_ready
      until (frame = take)
        return nil if @ended || !@io.wait_readable(0)

        Thread.handle_interrupt(Object => :never) { fill }
      end
      frame
    end

    private

    def fill
      if @buffer.empty?
        @io.readpartial(READ_SIZE, @buffer)
      else
        # A large frame is read at once, as far as it is here.
        @buffer << @io.readpartial(missing.clamp(READ_SIZE, READ_SIZE_MAX))
      end
    rescue EOFError
      @ended = true
    end

    def fill_guarded
      @io.wait_readable
      Thread.handle_interrupt(Object => :never) { fill }
    end

    # Bytes of the frame that has begun and are not here yet.
    def missing
      @buffer.bytesize < LENGTH_SIZE ? 0 : @buffer.unpack1("N") + LENGTH_SIZE - @buffer.bytesize
    end

    LENGTH_SIZE = Frames::LENGTH_SIZE
    PREFIX_SIZE = Frames::PREFIX_SIZE
    private_constant :LENGTH_SIZE, :PREFIX_SIZE

    # Takes a whole frame out of the buffer.
    def take
      buffer = @buffer
      return nil if buffer.bytesize < PREFIX_SIZE

      length, type, header_size = buffer.unpack(Frames::PREFIX)
      check_size(length, header_size)
      size = LENGTH_SIZE + length
      return nil if buffer.bytesize < size

      body = PREFIX_SIZE + header_size
      header = parse(buffer.byteslice(PREFIX_SIZE, header_size))
      payload = buffer.byteslice(body, size - body)
      if buffer.bytesize == size
        buffer.clear
      else
        @buffer = buffer.byteslice(size, buffer.bytesize - size)
      end
      [type, header, payload]
    end

    def check_size(length, header_size)
      return if length <= @frame_max && header_size <= length - Frames::COUNTED

      raise ProtocolError,
            "a frame of #{length} bytes with a header of #{header_size}: above the limit, or the " \
            "header is longer than the frame"
    end

    def parse(data)
      header = Values.parse(data)
      return header if header.is_a?(Hash)

      raise ProtocolError, "a header that is not an object: #{data[0, 100].inspect}"
    rescue JSON::ParserError => e
      raise ProtocolError, "a header that is not JSON: #{e.message}"
    end
  end
end
