"""thriftpy2, which reads the IDL itself: one call, or further cases over one transport and protocol.

    client_thriftpy2.py ADDRESS TOKEN AUTHORITY KIND FUNCTION ARGUMENTS TIMEOUT
    client_thriftpy2.py more WAY ADDRESS TYPED_ADDRESS HTTP_ADDRESS
"""

import json
import sys

import thriftpy2
from thriftpy2.protocol import TBinaryProtocolFactory, TCompactProtocolFactory
from thriftpy2.protocol import TMultiplexedProtocolFactory
from thriftpy2.rpc import make_client
from thriftpy2.thrift import TApplicationException
from thriftpy2.transport import TBufferedTransportFactory, TFramedTransportFactory

katamari = thriftpy2.load("katamari.thrift", module_name="katamari_thrift")
typed = thriftpy2.load("typed.thrift", module_name="typed_thrift")
Value = katamari.Value


def one(address, token, authority, kind, function, arguments, timeout):
    host, port = address.rsplit(":", 1)
    trust = {"cafile": authority} if authority else {}
    client = make_client(katamari.Katamari, host, int(port), timeout=60_000, **trust,
                         proto_factory=TBinaryProtocolFactory(),
                         trans_factory=TFramedTransportFactory())
    options = katamari.Options(token=token or None, timeout_ms=json.loads(timeout))
    try:
        return {"result": json.loads(client.call_json(kind, function, arguments, options))}
    except katamari.KatamariError as error:
        return {"error": error.code}


if sys.argv[1] != "more":
    print(json.dumps(one(*sys.argv[1:])))
    sys.exit()
WAY, ADDRESS, TYPED_ADDRESS, _ = sys.argv[2:]


def connect(service, address, name=None):
    protocol = TCompactProtocolFactory() if "compact" in WAY else TBinaryProtocolFactory()
    transport = TFramedTransportFactory() if "framed" in WAY else TBufferedTransportFactory()
    if name:
        protocol = TMultiplexedProtocolFactory(protocol, name)
    host, port = address.rsplit(":", 1)
    return make_client(service, host, int(port), proto_factory=protocol, trans_factory=transport,
                       timeout=30_000)


def expect(what, came, expected):
    if came != expected:
        sys.exit(f"{what}: expected {expected!r}, got {came!r}")


def fails(what, act, kind, **fields):
    try:
        came = act()
    except kind as error:
        for name, value in fields.items():
            expect(what, getattr(error, name), value)
        return
    sys.exit(f"{what}: expected {kind.__name__}, got {came!r}")


def generic(client):
    value = Value(members={"a": Value(items=[Value(integer=-1), Value(number=1.5)]),
                           "b": Value(text="\u00e9"), "c": Value(boolean=False)})
    came = client.call("conformance", "echo", {"value": value}, katamari.Options(timeout_ms=20_000))
    expect("call", came, value)
    expect("call_json", client.call_json("conformance", "add", "[1, 2]",
                                         katamari.Options(class_="high")), "3")
    expect("pieces", client.pieces("conformance", "count", '{"to": 3, "size": 0}',
                                   katamari.Options()), ["1", "2", "3"])
    client.cast_json("conformance", "echo", "[1]", katamari.Options())
    fails("error", lambda: client.call_json("conformance", "fail", '["no"]', katamari.Options()),
          katamari.KatamariError, code="worker_error", error_type="RuntimeError")
    fails("an unknown kind", lambda: client.call_json("nobody", "f", "{}", katamari.Options()),
          katamari.KatamariError, code="no_pool")
    fails("deadline", lambda: client.call_json("conformance", "sleep", "[600000]",
                                               katamari.Options(timeout_ms=50)),
          katamari.KatamariError, code="deadline")


def declared(client):
    expect("join", client.join(["a", "b"], typed.JoinOptions(between="-")), "a-b")
    expect("join without options", client.join(["a", "b"], typed.JoinOptions()), "ab")
    expect("scale", client.scale({"x": 1.5}, 2), {"x": 3.0})
    expect("anything", client.anything('{"a": [1]}', typed.AnythingOptions(maybe=7)),
           '[{"a":[1]},7]')
    expect("half", [client.half(4).value, client.half(3).value], [2, None])
    expect("count", client.count(3), [1, 2, 3])
    expect("reverse", client.reverse(b"\0\xff"), b"\xff\0")
    fails("fail", lambda: client.fail("no"), typed.KatamariError, code="worker_error", message="no")


client = connect(katamari.Katamari, ADDRESS)
generic(client)
generic(connect(katamari.Katamari, ADDRESS, "Katamari"))
declared(connect(typed.Typed, ADDRESS, "typed"))
bare = connect(typed.Typed, TYPED_ADDRESS)
declared(bare)
fails("typed deadline", lambda: bare.sleep(600_000), typed.KatamariError, code="deadline")
fails("an unknown method", lambda: connect(katamari.Katamari, TYPED_ADDRESS).pieces(
    "", "", "", katamari.Options()), TApplicationException,
    type=TApplicationException.UNKNOWN_METHOD)
client._send("call_json", kind="conformance", function_="sleep", arguments_json="[600000]",
             options=katamari.Options())
client.close()
