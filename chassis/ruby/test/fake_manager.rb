# frozen_string_literal: true

# A manager for tests: one worker, real pipes on its descriptors 3 and 4.
#
# It is written from docs/protocol/worker.md and shares no code with the chassis.

require "io/wait"
require "json"
require "rbconfig"
require "tempfile"

# Starts `ruby script arguments` as a worker and plays its manager.
class Manager
  # Seconds to wait for anything a worker must do; reached only when it does not.
  PATIENCE = 20

  WELCOME = { frame_max: 1 << 20, stream_credit: 4096, worker: 7 }.freeze

  Frame = Struct.new(:type, :header, :payload) do
    def value
      JSON.parse(payload)
    end
  end

  # The worker has closed descriptor 4.
  class EndOfFrames < StandardError; end

  # Nothing came.
  class Silence < StandardError; end

  attr_reader :input, :output, :pid

  def self.pack(type, header, payload = "")
    header = JSON.generate(header)
    [3 + header.bytesize + payload.bytesize, type, header.bytesize].pack("NA1n") <<
      header.b << payload.b
  end

  # Runs a block with a manager, which is closed afterwards.
  def self.with(*arguments, **options)
    manager = new(*arguments, **options)
    yield manager
  ensure
    manager&.close
  end

  def initialize(script, *arguments, protocol: "1", pipes: true)
    to_worker, @input = IO.pipe(binmode: true)
    @output, from_worker = IO.pipe(binmode: true)
    @input.sync = true
    @log = Tempfile.new("worker")
    @buffer = "".b
    @next_id = 0
    @status = nil
    redirections = { in: File::NULL, out: @log.path, err: %i[child out], pgroup: true }
    redirections.merge!(3 => to_worker, 4 => from_worker) if pipes
    @pid = spawn({ "KATAMARI_PROTOCOL" => protocol }, RbConfig.ruby, "-w",
                 File.join(__dir__, script), *arguments.map(&:to_s), redirections)
    [to_worker, from_worker].each(&:close)
  end

  # Reads the hello, sends the welcome, returns the description.
  def interrogate(**welcome)
    hello = receive
    raise "no hello: #{hello}" unless [hello.type, hello.header] == ["H", { "protocol" => 1 }]

    send_frame("W", { **WELCOME, **welcome })
    hello.value
  end

  def send_frame(type, header = {}, payload = "")
    send_bytes(Manager.pack(type, header, payload))
  end

  def send_bytes(bytes)
    @input.write(bytes)
  end

  # Sends a call; a String is a payload as it is. Returns the id.
  def send_call(function, arguments = {}, **more)
    @next_id += 1
    header = { id: @next_id, call: format("%016x", @next_id), function: function,
               timeout_ms: 60_000, class: "normal", **more }
    arguments = JSON.generate(arguments) unless arguments.is_a?(String)
    send_frame("C", header, arguments)
    @next_id
  end

  # The next frame.
  def receive
    limit = now + PATIENCE
    until (frame = take)
      raise Silence, "no frame; the worker's log:\n#{log}" unless @output.wait_readable(limit - now)

      begin
        @buffer << @output.readpartial(1 << 20)
      rescue EOFError
        raise EndOfFrames, log
      end
    end
    frame
  end

  # Sends a call and returns the frame that ends it, which must come next.
  def call(function, arguments = {}, **more)
    id = send_call(function, arguments, **more)
    frame = receive
    raise "no end: #{frame}" unless %w[R E].include?(frame.type) && frame.header["id"] == id

    frame
  end

  # As `call`, of a function after which the worker exits. The quit with which a manager answers is
  # read by workers of several slots; one with a single slot may be gone before it is sent.
  def call_last(function, arguments = {})
    frame = call(function, arguments)
    raise "not the last: #{frame}" unless frame.header["last"] == true

    begin
      send_frame("Q")
    rescue Errno::EPIPE
      nil
    end
    frame
  end

  # Closes descriptor 3 of the worker.
  def end_of_input
    @input.close
  end

  # Waits for the worker to end. Its status; of a signal, the negative number.
  def exit_status
    limit = now + PATIENCE
    until @status
      _, status = Process.wait2(@pid, Process::WNOHANG)
      if status
        @status = status.exitstatus || -status.termsig
      elsif now > limit
        raise Silence, "the worker lives on; its log:\n#{log}"
      else
        sleep 0.005
      end
    end
    @status
  end

  # What the worker has written to stdout and stderr so far.
  def log
    File.read(@log.path)
  end

  # Kills the worker and whatever it has started.
  def close
    if @status.nil?
      Process.kill(:KILL, -@pid)
      Process.wait(@pid)
      @status = -Signal.list["KILL"]
    end
    [@input, @output].each(&:close)
    @log.close!
  end

  private

  def now
    Process.clock_gettime(Process::CLOCK_MONOTONIC)
  end

  def take
    return nil if @buffer.bytesize < 7

    length, type, header_size = @buffer.unpack("NA1n")
    return nil if @buffer.bytesize < 4 + length

    frame = @buffer.slice!(0, 4 + length)
    header = JSON.parse(frame.byteslice(7, header_size))
    Frame.new(type, header, frame.byteslice(7 + header_size, length))
  end
end
