from __future__ import annotations

import copy
import http.client
import json
from typing import Any, Dict, Iterator, List, Optional
from urllib.parse import urlsplit

_UNSET: Any = object()
_GRACE_S = 10.0


class KatamariError(Exception):
    """A call that failed. `code` is one of Katamari's error codes, `id` the call's id,
    `problem` all that the node said."""

    def __init__(self, code: str, message: str, problem: Dict[str, Any]) -> None:
        super().__init__(f"{code}: {message}")
        self.code = code
        self.message = message
        self.id: Optional[str] = problem.get("id")
        self.problem = problem


class _Client:
    _kind = ""

    def __init__(
        self,
        url: str = "http://127.0.0.1:7480",
        token: Optional[str] = None,
    ) -> None:
        """`url` is that of a node; `token` is needed if the node has tokens."""
        self._url = urlsplit(url)
        self._headers: Dict[str, str] = {}
        self._timeout_s: Optional[float] = None
        if token is not None:
            self._headers["authorization"] = f"Bearer {token}"

    def with_options(
        self,
        timeout_s: Optional[float] = None,
        call_class: Optional[str] = None,
        key: Optional[str] = None,
        idempotent: Optional[bool] = None,
    ) -> Any:
        """The same client for calls of these options; `call_class` is high, normal or low."""
        other = copy.copy(self)
        other._headers = dict(self._headers)
        if timeout_s is not None:
            other._timeout_s = timeout_s + _GRACE_S
            other._headers["katamari-timeout-ms"] = str(max(1, round(timeout_s * 1000)))
        if call_class is not None:
            other._headers["katamari-class"] = call_class
        if key is not None:
            other._headers["katamari-key"] = key
        if idempotent is not None:
            other._headers["katamari-idempotent"] = "true" if idempotent else "false"
        return other

    def _send(self, function: str, body: bytes, content_type: str) -> Any:
        secure = self._url.scheme == "https"
        kind = http.client.HTTPSConnection if secure else http.client.HTTPConnection
        connection = kind(self._url.netloc, timeout=self._timeout_s)
        try:
            path = f"{self._url.path.rstrip('/')}/call/{self._kind}/{function}"
            headers = {**self._headers, "content-type": content_type}
            connection.request("POST", path, body, headers)
            response = connection.getresponse()
            if response.status >= 300:
                raise _error(response.read(), response.status)
        except BaseException:
            connection.close()
            raise
        return connection, response

    def _call(self, function: str, arguments: Any) -> Any:
        connection, response = self._send(function, *_body(arguments))
        try:
            result = response.read()
            return json.loads(result) if _is_json(response) else result
        finally:
            connection.close()

    def _stream(self, function: str, arguments: Any) -> Iterator[Any]:
        connection, response = self._send(function, *_body(arguments))
        try:
            content_type = response.getheader("content-type", "")
            if not content_type.startswith("text/event-stream"):
                while piece := response.read1(65536):
                    yield piece
                return
            event, data = "", []  # type: ignore[var-annotated]
            for raw in response:
                line = raw.decode().rstrip("\r\n")
                name, _, value = line.partition(":")
                value = value[1:] if value.startswith(" ") else value
                if name == "event":
                    event = value
                elif name == "data":
                    data.append(value)
                elif not line:
                    if event == "end":
                        return
                    if event == "error":
                        raise _error("\n".join(data).encode(), 0)
                    if data:
                        yield json.loads("\n".join(data))
                    event, data = "", []
            raise KatamariError("worker_lost", "the stream broke off", {})
        finally:
            connection.close()


def _body(arguments: Any) -> Any:
    if isinstance(arguments, (bytes, bytearray)):
        return arguments, "application/octet-stream"
    given = {name: value for name, value in arguments.items() if value is not _UNSET}
    return json.dumps(given).encode(), "application/json"


def _is_json(response: Any) -> bool:
    return response.getheader("content-type", "").startswith("application/json")


def _error(body: bytes, status: int) -> KatamariError:
    try:
        problem = json.loads(body)
        return KatamariError(problem["code"], problem["detail"], problem)
    except (ValueError, KeyError, TypeError):
        text = body.decode(errors="replace")
        return KatamariError("protocol", f"status {status}: {text}", {})
