# frozen_string_literal: true

# A session with several slots: a thread for each, and one that reads.
#
# The reading thread hands calls to the slots' threads and is never kept waiting by a function;
# frames are written under a lock. The main thread waits for the slots to end, so that signals
# reach it. A function that does not return keeps no process alive whose session has ended: Ruby
# kills the other threads when the main one ends.

require_relative "session"

module Katamari
  # `@mutex` guards everything that the reading thread and the slots share.
  class ManySlots < Session
    # Where a thread keeps its call: for all its fibers, since an Enumerator may run in one.
    CALL = :katamari_call

    def initialize(*)
      super
      @slots = @description[:slots]
      @work = Queue.new
      @done = Queue.new
      @writing = Mutex.new
      @mutex = Mutex.new
      @changed = ConditionVariable.new
      @calls = {}
      @nested = {}
      @nested_id = 0
      @ended = false # descriptor 3 is at its end
    end

    def current
      Thread.current.thread_variable_get(CALL)
    end

    def refresh(_call)
      nil # the reading thread has done it
    end

    def wait_for(call)
      @mutex.synchronize do
        until call.cancelled
          taken = yield
          return taken if taken

          @ended ? call.cancelled = "shutdown" : @changed.wait(@mutex) # nothing will ever come
        end
        raise Cancelled, call.cancelled
      end
    end

    def ask(call, header, payload)
      answers = Queue.new
      nested_id = register(answers)
      begin
        write(nested_frame(nested_id, call, header, payload))
        frame = answers.pop
      ensure
        @mutex.synchronize { @nested.delete(nested_id) }
      end
      raise manager_gone if frame.nil?

      nested_value(frame)
    end

    private

    # Not to be interrupted in the middle of a frame, as `Timeout` would.
    def write(frame)
      Thread.handle_interrupt(Object => :never) do
        @writing.synchronize { @output.write(frame) }
      end
    end

    def serve
      @slots.times { |number| thread("slot-#{number}") { work } }
      thread("reader") { read }
      @slots.times do
        failure = @done.pop
        raise failure if failure
      end
    end

    # A thread whose failure ends the session.
    def thread(name)
      Thread.new do
        Thread.current.name = name
        Thread.current.report_on_exception = false
        yield
      rescue Exception => e # rubocop:disable Lint/RescueException
        @done << e
      end
    end

    # One slot's thread: runs one call after another.
    def work
      while (item = @work.pop)
        call, payload = item
        Thread.current.thread_variable_set(CALL, call)
        frame, = execute(call, payload)
        Thread.current.thread_variable_set(CALL, nil)
        @mutex.synchronize { @calls.delete(call.id) }
        # After a last one it goes on: calls that the manager wrote before it read of that are on
        # their way, and it says quit when all have ended.
        write(frame)
      end
      @done << nil
    end

    # The reading thread.
    def read
      while (frame = @reader.next)
        take(frame)
      end
      @mutex.synchronize do
        @ended = true
        @changed.broadcast
        @nested.each_value { |answers| answers << nil }
      end
      stop
    end

    def take(frame)
      type, header, payload = frame
      case type
      when Frames::CALL then begin_call(start(header), payload)
      when Frames::PING then write(PONG)
      when Frames::QUIT then stop
      when Frames::FLOW, Frames::CANCEL, Frames::INPUT
        @mutex.synchronize { tell_running(frame) }
      when Frames::ANSWER, Frames::NESTED_ERROR
        answers = @mutex.synchronize { @nested[header["id"]] }
        answers&.push(frame) # else its parent has ended meanwhile
      else raise ProtocolError, "a frame of the unknown type #{type.inspect}"
      end
    end

    def begin_call(call, payload)
      @mutex.synchronize do
        if @calls.size == @slots
          raise ProtocolError, "a call came while all #{@slots} slots were taken"
        end

        @calls[call.id] = call
      end
      @work << [call, payload]
    end

    def tell_running(frame)
      call = @calls[frame[1]["id"]]
      return if call.nil? # it has ended meanwhile

      tell(call, frame)
      @changed.broadcast
    end

    def register(answers)
      @mutex.synchronize do
        raise manager_gone if @ended

        @nested_id += 1
        @nested[@nested_id] = answers
        @nested_id
      end
    end

    # Lets every slot finish the calls that came before, and end.
    def stop
      @slots.times { @work << nil }
    end
  end
end
