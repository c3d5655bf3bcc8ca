# BERT-RPC with Debian's ruby-bert.

require "bert"
require "socket"

$stdout.sync = true

ADDRESS = ARGV

class Client
  def initialize
    @socket = TCPSocket.new(*ADDRESS)
  end

  def say(*term)
    bytes = BERT.encode(t[*term])
    @socket.write([bytes.bytesize].pack("N"), bytes)
  end

  def frame
    @socket.read(@socket.read(4).unpack1("N"))
  end

  def hear
    BERT.decode(frame)
  end

  def call(function, *arguments)
    say(:call, :conformance, function, arguments)
    hear
  end

  def close
    @socket.close
  end
end

def expect(expected, got)
  raise "expected #{expected.inspect}, got #{got.inspect}" unless expected == got
end

CASES = {
  call: lambda do |client|
    expect t[:reply, 5], client.call(:add, 2, 3)
    value = [1, -5, 1.5, nil, true, false, {"k" => "v"}, "text"]
    expect t[:reply, value], client.call(:echo, value)
    expect t[:reply, "1970-01-01T00:00:01.000000Z"], client.call(:echo, Time.at(1))
  end,
  error: lambda do |client|
    word, (kind, code, name, detail, backtrace) = client.call(:fail, "why")
    expect [:error, :user, 0, "RuntimeError"], [word, kind, code, name]
    raise detail unless detail.include?("why") && backtrace.length > 1
  end,
  deadline: lambda do |client|
    client.say(:info, :katamari, [t[:timeout_ms, 100]])
    word, (kind, code, name) = client.call(:sleep, 60_000)
    expect [:error, :server, 103, "deadline"], [word, kind, code, name]
  end,
  cast: lambda do |client|
    client.say(:cast, :conformance, :echo, [1])
    expect t[:noreply], client.hear
  end,
  priority: lambda do |client|
    client.say(:info, :priority, [:low])
    expect t[:reply, 1], client.call(:echo, 1)
  end,
  stream: lambda do |client|
    expect t[:info, :stream, []], client.call(:count, 3, 0)
    expect t[:reply, []], client.hear
    expect [1, 2, 3], Array.new(3) { client.hear }
    expect "", client.frame.to_s
  end,
  many: lambda do |client|
    50.times { |number| client.say(:call, :conformance, :echo, [number]) }
    50.times { |number| expect t[:reply, number], client.hear }
  end,
  cancel: lambda do |client|
    client.say(:call, :conformance, :sleep, [600_000])
    puts "waiting"
    $stdin.read
  end
}.freeze

CASES.each do |name, body|
  client = Client.new
  body.call(client)
  client.close
  puts "  ok #{name}"
end
