# frozen_string_literal: true

# A session with one slot: the main thread reads, runs and writes, without a lock.
#
# This is the path that most workers take, so it does as little as it can: one read, one write, and
# no other system call for a call that neither streams nor looks around.

require_relative "session"

module Katamari
  # The one call is in `@call` while it runs; what arrives meanwhile is for it.
  class OneSlot < Session
    def initialize(*)
      super
      @call = nil
      @thread = Thread.current
      @nested_id = 0
      @quitting = false
    end

    def current
      @call
    end

    def refresh(_call)
      return unless Thread.current == @thread # descriptor 3 belongs to the main thread

      while (frame = @reader.next_ready)
        take(frame)
      end
    end

    def wait_for(call)
      check_thread("stream")
      refresh(call)
      until call.cancelled
        taken = yield
        return taken if taken

        frame = @reader.next(guarded: true)
        frame ? take(frame) : call.cancelled = "shutdown" # nothing will ever come
      end
      raise Cancelled, call.cancelled
    end

    def ask(call, header, payload)
      check_thread("call the cluster")
      nested_id = @nested_id += 1
      write(nested_frame(nested_id, call, header, payload))
      loop do
        frame = @reader.next(guarded: true)
        raise manager_gone if frame.nil?
        return nested_value(frame) if answers?(frame, nested_id)

        take(frame)
      end
    end

    private

    def check_thread(act)
      return if Thread.current == @thread

      raise ThreadError, "with one slot, only the thread that runs the function can #{act}"
    end

    # Not to be interrupted in the middle of a frame, as `Timeout` would.
    def write(frame)
      Thread.handle_interrupt(Object => :never) { @output.write(frame) }
    end

    def serve
      until @quitting
        frame = @reader.next
        return if frame.nil?

        if frame[0] == Frames::CALL
          @call = start(frame[1])
          answer, last = execute(@call, frame[2])
          @call = nil
          @output.write(answer)
          return if last
        else
          take(frame)
        end
      end
    end

    def answers?(frame, nested_id)
      [Frames::ANSWER, Frames::NESTED_ERROR].include?(frame[0]) && frame[1]["id"] == nested_id
    end

    # Deals with a frame that is not the call or the answer waited for.
    def take(frame)
      type, header, = frame
      case type
      when Frames::PING then write(PONG)
      when Frames::QUIT then @quitting = true
      when Frames::FLOW, Frames::CANCEL, Frames::INPUT
        tell(@call, frame) if @call && header["id"] == @call.id
      when Frames::ANSWER, Frames::NESTED_ERROR then nil # to a call that an exception interrupted
      when Frames::CALL then raise ProtocolError, "a call came while the only slot was taken"
      else raise ProtocolError, "a frame of the unknown type #{type.inspect}"
      end
    end
  end
end
