# BERT-RPC with Debian's ruby-bert: one call, or cases by their names.
#
#     client.rb ADDRESS TOKEN AUTHORITY KIND FUNCTION ARGUMENTS TIMEOUT
#     client.rb more ADDRESS CASE...

require "bert"
require "json"
require "openssl"
require "socket"

class Client
  def initialize(address, authority = "")
    host, port = address.split(":")
    @socket = TCPSocket.new(host, port)
    return if authority.empty?

    context = OpenSSL::SSL::SSLContext.new
    context.set_params(ca_file: authority)
    @socket = OpenSSL::SSL::SSLSocket.new(@socket, context)
    @socket.hostname = host
    @socket.connect
    @socket.post_connection_check(host)
  end

  def say(*term)
    bytes = BERT.encode(t[*term])
    @socket.write([bytes.bytesize].pack("N"), bytes)
  end

  def frame
    length = @socket.read(4).unpack1("N")
    length.zero? ? "" : @socket.read(length)
  end

  def hear
    BERT.decode(frame)
  end

  def call(function, *arguments)
    say(:call, :conform, function, arguments)
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
  "values" => lambda do |client|
    expect t[:reply, 5], client.call(:add, 2, 3)
    value = [1, -5, 1.5, nil, true, false, {"k" => "v"}, "text"]
    expect t[:reply, value], client.call(:same, value)
    expect t[:reply, "1970-01-01T00:00:01.000000Z"], client.call(:same, Time.at(1))
    word, (kind, code, name, detail, backtrace) = client.call(:fail, "why")
    expect [:error, :user, 0, "ValueError"], [word, kind, code, name]
    raise detail unless detail.include?("why") && backtrace.length > 1
  end,
  "cast" => lambda do |client|
    client.say(:cast, :conform, :same, [1])
    expect t[:noreply], client.hear
  end,
  "priority" => lambda do |client|
    client.say(:info, :priority, [:low])
    expect t[:reply, 1], client.call(:same, 1)
  end,
  "many" => lambda do |client|
    50.times { |number| client.say(:call, :conform, :same, [number]) }
    50.times { |number| expect t[:reply, number], client.hear }
  end
}.freeze

def one(address, token, authority, kind, function, arguments, timeout)
  client = Client.new(address, authority)
  client.say(:info, :katamari, [t[:token, token]]) unless token.empty?
  client.say(:info, :katamari, [t[:timeout_ms, timeout.to_i]]) unless timeout == "null"
  client.say(:call, kind.to_sym, function.to_sym, JSON.parse(arguments).values)
  word, answer = client.hear
  return { error: "#{answer[0]} #{answer[1]}" } if word == :error
  return { result: answer } if word == :reply

  expect t[:reply, []], client.hear
  pieces = []
  while (piece = client.frame) && !piece.empty?
    pieces << BERT.decode(piece)
  end
  { result: pieces }
end

if ARGV[0] == "more"
  ARGV.drop(2).each do |name|
    client = Client.new(ARGV[1])
    CASES.fetch(name).call(client)
    client.close
  end
else
  answer = one(*ARGV)
  answer[:result].force_encoding("UTF-8") if answer[:result].is_a?(String)
  puts JSON.generate(answer)
end
