# The clients that Thrift's compiler writes in Ruby: one call, or further cases over one transport and
# protocol.
#
#     client.rb ADDRESS TOKEN AUTHORITY KIND FUNCTION ARGUMENTS TIMEOUT
#     client.rb more WAY ADDRESS TYPED_ADDRESS HTTP_ADDRESS

require "json"
require "openssl"
require "thrift"
require "katamari"
require "typed"

Generic = Katamari::Generic
Declared = Katamari::Typed

def one(address, token, authority, kind, function, arguments, timeout)
  host, port = address.split(":")
  plain = Thrift::Socket.new(host, port.to_i, 60)
  unless authority.empty?
    context = OpenSSL::SSL::SSLContext.new
    context.set_params(ca_file: authority)
    # With a timeout it waits for bytes that OpenSSL has read already.
    plain = Thrift::SSLSocket.new(host, port.to_i, nil, context)
  end
  opened = Thrift::FramedTransport.new(plain)
  opened.open
  options = Generic::Options.new(timeout_ms: JSON.parse(timeout))
  options.token = token unless token.empty?
  client = Generic::Katamari::Client.new(Thrift::BinaryProtocol.new(opened))
  { result: JSON.parse(client.call_json(kind, function, arguments, options)) }
rescue Generic::KatamariError => error
  { error: error.code }
end

if ARGV[0] != "more"
  puts JSON.generate(one(*ARGV))
  exit
end
_, WAY, ADDRESS, TYPED_ADDRESS, HTTP_ADDRESS = ARGV

def transport(address)
  return Thrift::HTTPClientTransport.new("http://#{HTTP_ADDRESS}/thrift") if WAY == "http"

  host, port = address.split(":")
  plain = Thrift::Socket.new(host, port.to_i, 30)
  return Thrift::FramedTransport.new(plain) if WAY.include?("framed")

  Thrift::BufferedTransport.new(plain)
end

def protocol(opened)
  kind = WAY.include?("compact") ? Thrift::CompactProtocol : Thrift::BinaryProtocol
  kind.new(opened)
end

def multiplexed(opened, name)
  Thrift::MultiplexedProtocol.new(protocol(opened), name)
end

def expect(what, came, expected)
  abort("#{what}: expected #{expected.inspect}, got #{came.inspect}") unless came == expected
end

def fails(what, kind, **fields)
  came = yield
rescue kind => error
  fields.each { |name, value| expect(what, error.public_send(name), value) }
else
  abort("#{what}: expected #{kind}, got #{came.inspect}")
end

def value(**field)
  Generic::Value.new(field)
end

def generic(client)
  none = Generic::Options.new
  tree = value(members: { "a" => value(items: [value(integer: -1), value(number: 1.5)]),
                          "b" => value(text: "é"), "c" => value(boolean: false) })
  came = client.call("conformance", "echo", { "value" => tree },
                     Generic::Options.new(timeout_ms: 20_000))
  expect("call", came, tree)
  expect("call_json", client.call_json("conformance", "add", "[1, 2]",
                                       Generic::Options.new(class_: "high")), "3")
  expect("pieces", client.pieces("conformance", "count", '{"to": 3, "size": 0}', none),
         %w[1 2 3])
  client.cast_json("conformance", "echo", "[1]", none)
  fails("error", Generic::KatamariError, code: "worker_error", error_type: "RuntimeError") do
    client.call_json("conformance", "fail", '["no"]', none)
  end
  fails("an unknown kind", Generic::KatamariError, code: "no_pool") do
    client.call_json("nobody", "f", "{}", none)
  end
  fails("deadline", Generic::KatamariError, code: "deadline") do
    client.call_json("conformance", "sleep", "[600000]", Generic::Options.new(timeout_ms: 50))
  end
end

def declared(client)
  expect("join", client.join(%w[a b], Declared::JoinOptions.new(between: "-")), "a-b")
  expect("join without options", client.join(%w[a b], Declared::JoinOptions.new), "ab")
  expect("scale", client.scale({ "x" => 1.5 }, 2), { "x" => 3.0 })
  expect("anything", client.anything('{"a": [1]}', Declared::AnythingOptions.new(maybe: 7)),
         '[{"a":[1]},7]')
  expect("half", [client.half(4).value, client.half(3).value], [2, nil])
  expect("count", client.count(3), [1, 2, 3])
  expect("reverse", client.reverse("\0\xff".b), "\xff\0".b)
  fails("fail", Declared::KatamariError, code: "worker_error", message: "no") { client.fail("no") }
end

opened = transport(ADDRESS)
opened.open
client = Generic::Katamari::Client.new(protocol(opened))
generic(client)
generic(Generic::Katamari::Client.new(multiplexed(opened, "Katamari")))
declared(Declared::Typed::Client.new(multiplexed(opened, "typed")))
exit if WAY == "http"

bare = transport(TYPED_ADDRESS)
bare.open
typed = Declared::Typed::Client.new(protocol(bare))
declared(typed)
fails("typed deadline", Declared::KatamariError, code: "deadline") { typed.sleep(600_000) }
fails("an unknown method", Thrift::ApplicationException,
      type: Thrift::ApplicationException::UNKNOWN_METHOD) do
  Generic::Katamari::Client.new(protocol(bare)).pieces("", "", "", Generic::Options.new)
end
bare.close
client.send_call_json("conformance", "sleep", "[600000]", Generic::Options.new)
opened.close
