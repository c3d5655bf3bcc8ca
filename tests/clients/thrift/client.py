"""The clients that Thrift's compiler writes in Python: one call, or further cases over one transport and
protocol.

    client.py ADDRESS TOKEN AUTHORITY KIND FUNCTION ARGUMENTS TIMEOUT
    client.py more WAY ADDRESS TYPED_ADDRESS HTTP_ADDRESS
"""

import json
import sys

from katamari.generic import Katamari
from katamari.generic.ttypes import KatamariError, Options, Value
from katamari.typed import Typed
from katamari.typed.ttypes import (
    AnythingOptions, JoinOptions, KatamariError as TypedError,
)
from thrift.protocol.TBinaryProtocol import TBinaryProtocol
from thrift.protocol.TCompactProtocol import TCompactProtocol
from thrift.protocol.TMultiplexedProtocol import TMultiplexedProtocol
from thrift.Thrift import TApplicationException
from thrift.transport.THttpClient import THttpClient
from thrift.transport.TSocket import TSocket
from thrift.transport.TSSLSocket import TSSLSocket
from thrift.transport.TTransport import TBufferedTransport, TFramedTransport



def one(address, token, authority, kind, function, arguments, timeout):
    host, port = address.rsplit(":", 1)
    plain = TSSLSocket(host, int(port), ca_certs=authority) if authority else TSocket(host, int(port))
    opened = TFramedTransport(plain)
    opened.open()
    client = Katamari.Client(TBinaryProtocol(opened))
    options = Options(token=token or None, timeout_ms=json.loads(timeout))
    try:
        return {"result": json.loads(client.call_json(kind, function, arguments, options))}
    except KatamariError as error:
        return {"error": error.code}


if sys.argv[1] != "more":
    print(json.dumps(one(*sys.argv[1:])))
    sys.exit()
WAY, ADDRESS, TYPED_ADDRESS, HTTP_ADDRESS = sys.argv[2:]


def transport(address):
    if WAY == "http":
        http = THttpClient(f"http://{HTTP_ADDRESS}/thrift")
        return http
    host, port = address.rsplit(":", 1)
    plain = TSocket(host, int(port))
    plain.setTimeout(30_000)
    return TFramedTransport(plain) if "framed" in WAY else TBufferedTransport(plain)


def protocol(opened):
    if "compact" in WAY:
        return TCompactProtocol(opened)
    return TBinaryProtocol(opened, strictWrite="old" not in WAY)


def expect(what, came, expected):
    if came != expected:
        sys.exit(f"{what}: expected {expected!r}, got {came!r}")


def fails(what, act, kind, **fields):
    try:
        came = act()
    except kind as error:
        for name, value in fields.items():
            expect(what, getattr(error, name), value)
        return error
    sys.exit(f"{what}: expected {kind.__name__}, got {came!r}")


def generic(client):
    value = Value(members={"a": Value(items=[Value(integer=-1), Value(number=1.5)]),
                           "b": Value(text="\u00e9"), "c": Value(boolean=False),
                           "d": Value(null_value=True), "e": Value(items=[])})
    came = client.call("conformance", "echo", {"value": value}, Options(timeout_ms=20_000))
    expect("call", came, value)
    came = client.call_json("conformance", "add", "[1, 2]", Options(class_="high", key="k"))
    expect("call_json", came, "3")
    expect("octets", client.call("typed", "reverse", {"data": Value(octets=b"\0\xff")}, None),
           Value(octets=b"\xff\0"))
    pieces = client.call("conformance", "count", {"to": Value(integer=2), "size": Value(integer=0)},
                         None)
    expect("a stream", pieces, Value(items=[Value(integer=1), Value(integer=2)]))
    expect("pieces", client.pieces("conformance", "count", '{"to": 3, "size": 0}', None),
           ["1", "2", "3"])
    client.cast_json("conformance", "echo", "[1]", Options())
    error = fails("error", lambda: client.call_json("conformance", "fail", '["no"]', None),
                  KatamariError, code="worker_error", error_type="RuntimeError")
    expect("the error's id", len(error.id), 16)
    fails("an unknown kind", lambda: client.call_json("nobody", "f", "{}", None), KatamariError,
          code="no_pool")
    fails("an unknown function", lambda: client.call("conformance", "f", {}, None), KatamariError,
          code="no_function")
    fails("wrong arguments", lambda: client.call_json("conformance", "add", "{}", None),
          KatamariError, code="bad_arguments")
    fails("deadline", lambda: client.call_json("conformance", "sleep", "[600000]",
                                               Options(timeout_ms=50)),
          KatamariError, code="deadline")
    expect("after errors", client.call_json("conformance", "add", "[2, 2]", None), "4")
    client.katamari_authenticate("not needed here")


def typed(client):
    expect("join", client.join(["a", "b"], JoinOptions(between="-")), "a-b")
    expect("join twice", client.join(["a"], JoinOptions(twice=True)), "aa")
    expect("join without options", client.join(["a", "b"], None), "ab")
    expect("scale", client.scale({"x": 1.5}, 2), {"x": 3.0})
    expect("anything", client.anything('{"a": [1]}', AnythingOptions(maybe=7)), '[{"a":[1]},7]')
    expect("null", client.anything("true", AnythingOptions()), "[true,null]")
    expect("half", [client.half(4).value, client.half(3).value], [2, None])
    expect("count", client.count(3), [1, 2, 3])
    expect("reverse", client.reverse(b"\0\xff"), b"\xff\0")
    fails("fail", lambda: client.fail("no"), TypedError, code="worker_error", message="no",
          error_type="ValueError")
    fails("an unknown method", lambda: Katamari.Client(client._iprot).pieces("", "", "", None),
          TApplicationException, type=TApplicationException.UNKNOWN_METHOD)


opened = transport(ADDRESS)
opened.open()
generic(Katamari.Client(protocol(opened)))
generic(Katamari.Client(TMultiplexedProtocol(protocol(opened), "Katamari")))
typed(Typed.Client(TMultiplexedProtocol(protocol(opened), "typed")))
if WAY != "http":
    bare = transport(TYPED_ADDRESS)
    bare.open()
    client = Typed.Client(protocol(bare))
    typed(client)
    fails("typed deadline", lambda: client.sleep(600_000), TypedError, code="deadline")
    bare.close()
client = Katamari.Client(protocol(opened))
if WAY == "http":
    sys.exit()
client.send_call_json("conformance", "sleep", "[600000]", Options())
opened.close()
