# Calls a worker of 2008 through a node with terms, over BERT-RPC with Debian's ruby-bert: what run.py
# starts.
#
#     client.rb HOST PORT

require "bert"
require "socket"

SOCKET = TCPSocket.new(*ARGV)

def say(term)
  bytes = BERT.encode(term)
  SOCKET.write([bytes.bytesize].pack("N"), bytes)
end

def call(function, *arguments)
  say(t[:info, :katamari, [t[:details, [t[:roles, ["x"]]]]]])
  say(t[:call, :fake, function, arguments])
  BERT.decode(SOCKET.read(SOCKET.read(4).unpack1("N")))
end

def expect(expected, got)
  raise "expected #{expected.inspect}, got #{got.inspect}" unless expected == got
end

[t[:ok, [1, -5, 2.5], :word], "\xff".b, nil, true, { "k" => t[:v] }, t[:value, 1]].each do |value|
  expect t[:reply, value], call(:echo, value)
end
expect t[:reply, 6], call(:sum, 1, 2, 3)
