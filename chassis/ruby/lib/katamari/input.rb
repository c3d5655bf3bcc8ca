# frozen_string_literal: true

# The input of a call: what a function reads while it runs, and what the session knows of it.

module Katamari
  # What has come of a call's input and was not taken yet, and what is to be granted for it.
  class Inlet
    # What was taken is granted again in portions of this part of the credit: fewer frames, and the
    # manager never runs out.
    PORTIONS = 8

    attr_reader :content_type

    # `coming`: whether there is an input at all; `credit`, the bytes that may be on their way.
    def initialize(coming, credit)
      @ended = !coming
      @credit = credit
      @granted = false
      @taken = 0
      @pieces = []
      @content_type = nil
    end

    def push(header, piece)
      @content_type ||= header["content_type"]
      @ended = true if header["end"]
      @pieces << piece unless piece.empty?
    end

    # The next piece, an empty one at the end; nil if it has not come yet.
    def take
      return @ended ? "" : nil if @pieces.empty?

      @pieces.shift.tap { |piece| @taken += piece.bytesize }
    end

    # Bytes to grant now; nil if it is not the time.
    def grant
      return nil if @ended
      return first_grant unless @granted
      return nil if @taken < [@credit / PORTIONS, 1].max

      taken = @taken
      @taken = 0
      taken
    end

    private

    def first_grant
      @granted = true
      @credit
    end
  end

  # The input of the running call: pieces of bytes as they come, or read like a file. Pieces begin
  # and end anywhere.
  #
  # Whatever waits for more raises `Cancelled` once the call is cancelled.
  class Input
    include Enumerable

    def initialize(session, call)
      @session = session
      @call = call
      @rest = "".b
    end

    # The content type of the whole; nil if the client named none, and before the first piece.
    def content_type
      @call.inlet.content_type
    end

    # Yields what is left, piece by piece.
    def each
      return to_enum unless block_given?

      while (piece = next_piece)
        yield piece
      end
      self
    end

    # So many bytes, fewer only at the end, nil after it; all that is left without a length.
    def read(length = nil, buffer = nil)
      fill { @rest.bytesize < length } if length
      data = length ? take(length) : to_a.inject("".b, :<<)
      data = nil if length&.positive? && data.empty?
      buffer ? (buffer.replace(data || "") && data && buffer) : data
    end

    # What is there, at most so many bytes; waits only if there is nothing. Raises `EOFError`.
    def readpartial(length, buffer = nil)
      fill { @rest.empty? }
      raise EOFError, "the input has ended" if @rest.empty?

      read([length, @rest.bytesize].min, buffer)
    end

    # The next line; nil at the end.
    def gets
      searched = 0
      fill do
        found = @rest.index("\n", searched)
        searched = @rest.bytesize
        found.nil?
      end
      return nil if @rest.empty?

      take((@rest.index("\n") || @rest.bytesize) + 1)
    end

    # Gives bytes back, to be read first.
    def ungetbyte(bytes)
      @rest = bytes.b << @rest
      nil
    end

    private

    # Reads on while the block says so.
    def fill
      while yield
        piece = @session.next_piece(@call)
        return if piece.nil?

        @rest << piece
      end
    end

    def next_piece
      return @session.next_piece(@call) if @rest.empty?

      take(@rest.bytesize)
    end

    def take(length)
      taken = @rest.byteslice(0, length)
      @rest = @rest.byteslice(taken.bytesize, @rest.bytesize)
      taken
    end
  end
end
