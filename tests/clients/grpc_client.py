"""gRPC as Google's client for Python speaks it, with no generated code: what it calls it learns by
reflection.

    KATAMARI=target/debug/katamari build/venv/bin/python tests/clients/grpc_client.py
"""

import contextlib
import functools
import http.client
import re
import sys
import time

import grpc
import harness
from google.protobuf import descriptor_pool, json_format, message_factory
from google.protobuf.descriptor_pb2 import FileDescriptorProto
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection_pb2, reflection_pb2_grpc
from grpc_reflection.v1alpha.proto_reflection_descriptor_database import (
    ProtoReflectionDescriptorDatabase,
)

FACEPLATES = {"grpc": {}}
SERVICE = "katamari.conform.Conform"
SERVING = health_pb2.HealthCheckResponse.SERVING
TOKEN = (("authorization", f"Bearer {harness.SECRET}"),)


@functools.cache
def channel(address, authority=None):
    if authority:
        return grpc.secure_channel(address, grpc.ssl_channel_credentials(authority.read_bytes()))
    return grpc.insecure_channel(address)


class Client:
    """Calls functions by what reflection says of them."""

    def __init__(self, node, door="", service=SERVICE):
        authority = node.mark("authority.pem") if door == "-tls" else None
        self.channel = channel(node.address("grpc" + door), authority)
        self.service = service
        database = ProtoReflectionDescriptorDatabase(self.channel)
        self.pool = descriptor_pool.DescriptorPool(database)

    def start(self, method, timeout=10, metadata=(), **arguments):
        service = self.pool.FindServiceByName(self.service)
        found = service.methods_by_name[method]
        kind = self.channel.unary_stream if found.server_streaming else self.channel.unary_unary
        call = kind(f"/{self.service}/{method}", type(self.message(found.input_type)).SerializeToString,
                    type(self.message(found.output_type)).FromString)
        request = json_format.ParseDict(arguments, self.message(found.input_type))
        options = {"timeout": timeout, "metadata": metadata}
        return call(request, **options) if found.server_streaming else call.future(request, **options)

    def message(self, descriptor):
        return message_factory.GetMessageClass(descriptor)()

    def call(self, method, **arguments):
        return self.start(method, **arguments).result().result


def status_of(call):
    try:
        call()
    except grpc.RpcError as error:
        return error
    raise AssertionError("expected an error")


def call(node):
    """A call, with defaults and metadata."""
    answer = Client(node).start("Echo", text="é", times=3, metadata=[("katamari-class", "high")])
    assert answer.result().result == "ééé"
    metadata = dict(answer.initial_metadata())
    assert len(metadata["katamari-id"]) == 16 and "-" in metadata["katamari-worker"], metadata
    assert metadata["server-timing"].startswith("queue;dur="), metadata
    assert Client(node).call("Echo", text="once") == "once"


def all_types(node):
    """Arguments and results of every type."""
    given = {"flag": True, "numbers": [1.5, -2], "counts": {"a": 1, "b": -2}, "note": "n",
             "rest": {"deep": [1, None, {"x": "y"}]}, "more": {"k": [True]}}
    answer = json_format.MessageToDict(Client(node).call("Types", **given))
    assert answer == given, answer
    answer = json_format.MessageToDict(Client(node).call("Types"))
    assert answer == {"flag": False, "numbers": [], "counts": {}, "note": None, "rest": None,
                      "more": None}, answer


def raw_bytes(node):
    """Bytes as they are."""
    data = bytes(range(256)) * 1000
    client = Client(node)
    method = client.pool.FindServiceByName(SERVICE).methods_by_name["Reverse"]
    request = client.message(method.input_type)
    request.data = data
    reverse = client.channel.unary_unary(
        f"/{SERVICE}/Reverse", type(request).SerializeToString,
        type(client.message(method.output_type)).FromString)
    assert reverse(request, timeout=10).result == data[::-1]


def error(node):
    """An error of the function, with its type and the call's id."""
    failed = status_of(lambda: Client(node).call("Fail", message="näh"))
    assert failed.code() == grpc.StatusCode.UNKNOWN, failed
    assert "näh" in failed.details(), failed
    trailers = dict(failed.trailing_metadata())
    assert b"WORKER_ERROR" in trailers["grpc-status-details-bin"], trailers
    assert b"ValueError" in trailers["grpc-status-details-bin"], trailers
    assert "katamari-id" in trailers, trailers


def wrong_result(node):
    """A result that is not of its declared type."""
    failed = status_of(lambda: Client(node).call("Lie"))
    assert failed.code() == grpc.StatusCode.INTERNAL, failed
    assert "expected integer" in failed.details(), failed


def no_such(node):
    """Methods and services that are not there."""
    for path in (f"/{SERVICE}/Nothing", "/katamari.none.None/Echo", "/x", "/"):
        failed = status_of(lambda path=path: Client(node).channel.unary_unary(path)(b"", timeout=10))
        assert failed.code() == grpc.StatusCode.UNIMPLEMENTED, failed


def bad_wish(node):
    """Metadata that is misspelt."""
    wish = [("katamari-tiemout-ms", "5")]
    failed = status_of(lambda: Client(node).call("Echo", text="", metadata=wish))
    assert failed.code() == grpc.StatusCode.INVALID_ARGUMENT, failed


def deadline(node):
    """A deadline, kept by the node."""
    # The client would give up first: it is told a longer time than the node.
    wish = [("katamari-timeout-ms", "200")]
    failed = status_of(lambda: Client(node).call("Sleep", ms=10_000, metadata=wish))
    assert failed.code() == grpc.StatusCode.DEADLINE_EXCEEDED, failed
    assert "katamari-id" in dict(failed.trailing_metadata()), failed
    failed = status_of(lambda: Client(node).call("Sleep", ms=10_000, timeout=0.2))
    assert failed.code() == grpc.StatusCode.DEADLINE_EXCEEDED, failed


def cancel(node):
    """A cancelled call, of which the worker is told."""
    waiting = Client(node).start("Wait", mark="cancelled")
    harness.until(node.mark("cancelled.begun").exists, "the call runs")
    waiting.cancel()
    harness.until(node.mark("cancelled").exists, "the worker is told")


def stream(node):
    """A stream, to its end and to its error."""
    answers = Client(node).start("Count", to=1000)
    assert [answer.result for answer in answers] == list(range(1, 1001))
    assert answers.code() == grpc.StatusCode.OK
    seen = []
    failed = status_of(lambda: seen.extend(
        answer.result for answer in Client(node).start("BreakOff", after=3)))
    assert seen == [0, 1, 2] and failed.code() == grpc.StatusCode.UNKNOWN, (seen, failed)
    assert "broken off" in failed.details(), failed


def slow_reader(node):
    """A slow reader, who slows the worker down and cancels."""
    pieces, size = 400, 64 * 1024
    answers = Client(node).start("Flood", mark="flood", pieces=pieces, size=size)
    assert len(next(answers).result) == size
    sent = harness.until(node.mark("flood").exists, "pieces are sent")
    last = None
    while (sent := node.mark("flood").read_text(encoding="ascii")) != last:
        last = sent
        time.sleep(0.5)
    assert int(last or 0) < pieces, f"{last} pieces were sent to a client that read one"
    answers.cancel()


def casts(node):
    """A cast, which is answered at once."""
    began = Client(node).start("Echo", text="once", metadata=[("katamari-cast", "true")])
    assert began.result().result == ""
    assert "katamari-id" in dict(began.initial_metadata())


def health(node):
    """Health, checked and watched."""
    stub = health_pb2_grpc.HealthStub(channel(node.address("grpc")))
    for service in ("", SERVICE):
        request = health_pb2.HealthCheckRequest(service=service)
        assert stub.Check(request, timeout=10).status == SERVING, service
        watch = stub.Watch(request, timeout=10)
        assert next(watch).status == SERVING, service
        watch.cancel()
    request = health_pb2.HealthCheckRequest(service="none")
    assert status_of(lambda: stub.Check(request, timeout=10)).code() == grpc.StatusCode.NOT_FOUND
    unknown = health_pb2.HealthCheckResponse.SERVICE_UNKNOWN
    assert next(stub.Watch(request, timeout=10)).status == unknown


def reflection(node):
    """Reflection of both versions, and descriptors that fit together."""
    client = Client(node)
    database = ProtoReflectionDescriptorDatabase(client.channel)
    assert {SERVICE, "grpc.health.v1.Health"} < set(database.get_services())
    for service in database.get_services():
        assert client.pool.FindServiceByName(service).methods, service
    ask = reflection_pb2.ServerReflectionRequest(file_containing_symbol=SERVICE)
    raw = {}
    for version in ("v1", "v1alpha"):
        path = f"/grpc.reflection.{version}.ServerReflection/ServerReflectionInfo"
        answer = client.channel.stream_stream(
            path, reflection_pb2.ServerReflectionRequest.SerializeToString,
            reflection_pb2.ServerReflectionResponse.FromString)(iter([ask]), timeout=10)
        raw[version], = next(answer).file_descriptor_response.file_descriptor_proto
    assert raw["v1"] == raw["v1alpha"]
    file = FileDescriptorProto.FromString(raw["v1"])
    said = [place.leading_comments for place in file.source_code_info.location]
    assert " Says a text again.\n" in said, said
    stub = reflection_pb2_grpc.ServerReflectionStub(client.channel)
    nothing = reflection_pb2.ServerReflectionRequest(file_by_filename="none.proto")
    answer = next(stub.ServerReflectionInfo(iter([nothing]), timeout=10))
    assert answer.error_response.error_code == grpc.StatusCode.NOT_FOUND.value[0]


def large(node):
    """Messages at the limit and beyond."""
    client = Client(node)
    text = "x" * (3 * 1024 * 1024)
    assert client.call("Echo", text=text) == text
    failed = status_of(lambda: client.call("Echo", text=text * 3))
    assert failed.code() == grpc.StatusCode.RESOURCE_EXHAUSTED, failed


def compressed(node):
    """Compression, which is refused."""
    gzip = grpc.Compression.Gzip
    method = Client(node).channel.unary_unary(f"/{SERVICE}/Echo")
    failed = status_of(lambda: method(b"\n\x10" + b"x" * 16, timeout=10, compression=gzip))
    assert failed.code() == grpc.StatusCode.UNIMPLEMENTED, failed


def many(node):
    """Hundreds of calls at a time on one connection."""
    client = Client(node)
    calls = [client.start("Echo", text=str(number)) for number in range(300)]
    assert [call.result().result for call in calls] == [str(number) for number in range(300)]


def other_protocol(node):
    """A client of HTTP/1, which is told."""
    connection = http.client.HTTPConnection(node.address("grpc"), timeout=10)
    connection.request("GET", "/")
    assert connection.getresponse().status == 505


def token(node):
    """A token, and calls without one."""
    path = f"/{SERVICE}/Echo"
    method = channel(node.address("grpc-token")).unary_unary(path)
    failed = status_of(lambda: method(b"", timeout=10))
    assert failed.code() == grpc.StatusCode.UNAUTHENTICATED, failed
    wrong = [("authorization", "Bearer wrong")]
    failed = status_of(lambda: method(b"", timeout=10, metadata=wrong))
    assert failed.code() == grpc.StatusCode.UNAUTHENTICATED, failed
    assert method(b"\n\x02hi", timeout=10, metadata=TOKEN) == b"\n\x02hi"


def token_and_reflection(node):
    """Reflection with a token, and health without."""
    stub = reflection_pb2_grpc.ServerReflectionStub(channel(node.address("grpc-token")))
    ask = reflection_pb2.ServerReflectionRequest(list_services="")
    failed = status_of(lambda: next(stub.ServerReflectionInfo(iter([ask]), timeout=10)))
    assert failed.code() == grpc.StatusCode.UNAUTHENTICATED, failed
    answer = next(stub.ServerReflectionInfo(iter([ask]), timeout=10, metadata=TOKEN))
    assert SERVICE in [service.name for service in answer.list_services_response.service]
    health_stub = health_pb2_grpc.HealthStub(channel(node.address("grpc-token")))
    assert health_stub.Check(health_pb2.HealthCheckRequest(), timeout=10).status == SERVING


class Grpcio(harness.Client):
    name = "grpcio"
    protocol = column = "gRPC"
    more = (call, all_types, raw_bytes, error, wrong_result, no_such, bad_wish, deadline, cancel,
            stream, slow_reader, casts, health, reflection, large, compressed, many, other_protocol,
            token, token_and_reflection)

    def started(self, kind, function, arguments, timeout_ms=None, **wishes):
        # Reflection may be for whoever shows a token alone: it is read at the open door.
        client = Client(self.node, service=f"katamari.{kind}.{kind.capitalize()}")
        authority = self.node.mark("authority.pem") if self.door == "-tls" else None
        client.channel = channel(self.node.address("grpc" + self.door), authority)
        wishes |= {"timeout-ms": str(timeout_ms)} if timeout_ms else {}
        metadata = [(f"katamari-{name}", value) for name, value in wishes.items()]
        metadata += [("authorization", f"Bearer {self.token}")] if self.token else []
        method = "".join(word.capitalize() for word in function.split("_"))
        return client.start(method, metadata=metadata, timeout=harness.PATIENCE_S, **arguments)

    def call(self, kind, function, arguments, timeout_ms=None, **wishes):
        with refusal():
            return self.started(kind, function, arguments, timeout_ms, **wishes).result().result

    def stream(self, kind, function, arguments):
        return [answer.result for answer in self.started(kind, function, arguments)]

    def begin(self, kind, function, arguments):
        return self.started(kind, function, arguments).cancel

    def refused_no_pool(self):
        # A kind that is not there is a service that is not there; so its pool is one of other roles.
        self.call("conform", "echo", {"text": "x"}, details='{"roles": ["nobody"]}')

    def refused_no_function(self):
        with refusal():
            method = channel(self.node.address("grpc")).unary_unary(f"/{SERVICE}/Nothing")
            method(b"", timeout=harness.PATIENCE_S)

    def refused_bad_arguments(self):
        # What is left out has its default, so that something must be no JSON.
        self.call("conform", "types", {"numbers": ["NaN"]})


@contextlib.contextmanager
def refusal():
    try:
        yield
    except grpc.RpcError as error:
        details = dict(error.trailing_metadata()).get("grpc-status-details-bin", b"")
        reason = re.search(rb"\n.([A-Z_]+)\x12\x08katamari", details, re.DOTALL)
        raise harness.Refused(error.code().value[0],
                              reason and reason[1].decode().lower()) from None


CLIENTS = (Grpcio,)

if __name__ == "__main__":
    harness.main(sys.modules[__name__])
