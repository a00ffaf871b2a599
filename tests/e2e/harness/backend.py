"""An HTTP/1.1 upstream of the tests' own. It does what a test tells it to, path by path, and remembers what it was sent.

    backend.on("/slow", answer(delay=0.5))
    backend.on("/odd", raw(b"HTTP/1.1 200 OK\\r\\n...", then="close"))
    backend.requests[-1].fields["host"]

A handler is a function of an Exchange. Everything the gateway sends is read strictly; what breaks RFC 9112 ends in
backend.violations, which the fixtures check when a test ends.
"""

import collections
import socket
import threading
import time
from dataclasses import dataclass, field

from . import wire
from .server import Server
from .wire import Fields, Violation, encode_chunks, encode_head


@dataclass
class Request:
    method: str
    target: str
    fields: Fields
    raw: bytes  # the head as it came
    connection: int
    body: bytes = b""
    trailers: Fields = field(default_factory=Fields)
    at: float = field(default_factory=time.monotonic)

    @property
    def path(self):
        return self.target.partition("?")[0]


class Exchange:
    """One request and the means to answer it."""

    def __init__(self, backend, connection, request):
        self.backend, self.connection, self.request = backend, connection, request
        self.keep_open = "close" not in [token.lower() for token in request.fields.tokens("connection")]

    def send(self, data):
        self.connection.send(data)

    def reply(self, status=200, body=b"", fields=(), trailers=None):
        """A well-formed answer; a list of pieces as body (or trailers) makes it chunked."""
        pairs = [("X-Backend", self.backend.name), *(fields.items() if isinstance(fields, dict) else fields)]
        if isinstance(body, list) or trailers is not None:
            pieces = body if isinstance(body, list) else [body]
            head, data = pairs + [("Transfer-Encoding", "chunked")], encode_chunks(pieces, trailers or ())
        elif status in (204, 304) or status < 200:
            head, data = pairs, b""
        else:
            head, data = pairs + [("Content-Length", len(body))], body
        if self.request.method == "HEAD":
            data = b""
        self.send(encode_head(f"HTTP/1.1 {status} Because", head) + data)

    def body_pieces(self):
        """The request's body as it comes; only in a streaming handler, once."""
        how, length = wire.framing(self.request.fields)
        reader = self.connection.reader
        if how == "chunked":
            yield from wire.chunks(reader, lambda trailers: setattr(self.request, "trailers", trailers))
        while how == "length" and length:
            piece = reader.some(min(length, 65536))
            length -= len(piece)
            yield piece

    def close(self):
        self.connection.close()
        self.keep_open = False

    def reset(self):
        self.connection.reset()
        self.keep_open = False


class Backend(Server):
    def __init__(self, name="backend", host="127.0.0.1", receive_buffer=None, tls=None):
        self.name = name
        self.default = answer()
        self.handlers = {}
        self.requests = collections.deque(maxlen=20000)  # whole requests, body and all
        self.started = 0  # requests whose head arrived, whole or not
        self.violations = []
        self._count = threading.Lock()
        super().__init__(host, receive_buffer=receive_buffer, tls=tls)

    def on(self, path, handler):
        self.handlers[path] = handler

    def clear(self):
        """As new, but for port and open connections. Fails if the gateway broke RFC 9112 meanwhile."""
        violations, self.violations = self.violations, []
        self.handlers.clear()
        self.default = answer()
        self.requests.clear()
        self.started = 0
        assert not violations, f"the gateway sent {self.name}: {violations}"

    @property
    def last(self):
        return self.requests[-1]

    @property
    def hits(self):
        return len(self.requests)

    def paths(self):
        return [request.target for request in list(self.requests)]

    def serve(self, connection):
        keep_open = True
        while keep_open:
            try:
                keep_open = self._serve_one(connection)
            except Violation as violation:
                self.violations.append(violation)
                return

    def _serve_one(self, connection):
        start, fields, raw = wire.read_head(connection.reader)
        method, target = _parse_request_line(start)
        request = Request(method, target, fields, raw, connection.number)
        with self._count:
            self.started += 1
        handler = self.handlers.get(request.path, self.default)
        exchange = Exchange(self, connection, request)
        wire.framing(fields)
        if not getattr(handler, "streaming", False):
            if fields.get("expect", "").lower() == "100-continue":
                connection.send(b"HTTP/1.1 100 Continue\r\n\r\n")
            request.body = b"".join(exchange.body_pieces())
            self.requests.append(request)
        handler(exchange)
        return exchange.keep_open


def _parse_request_line(start):
    parts = start.decode("latin-1").split(" ")
    if len(parts) != 3 or parts[2] != "HTTP/1.1" or not parts[1] or not wire.TOKEN.match(parts[0].encode()):
        raise Violation(f"not a request line for an upstream: {start!r}")
    return parts[0], parts[1]


def streaming(handler):
    """Marks a handler that reads the body itself (and is called before it came)."""
    handler.streaming = True
    return handler


# Handlers


def answer(status=200, body=None, fields=(), trailers=None, delay=0):
    """An ordinary answer, by default 200 with the backend's name."""

    def handler(exchange):
        if delay:
            time.sleep(delay)
        exchange.reply(status, exchange.backend.name.encode() if body is None else body, fields, trailers)

    return handler


def raw(data, then="keep"):
    """Exactly these bytes; then: keep, close or reset the connection."""

    def handler(exchange):
        exchange.send(data)
        if then != "keep":
            getattr(exchange, then)()

    return handler


def hangs_up(exchange):
    """Closes instead of answering."""
    exchange.close()


def resets(exchange):
    exchange.reset()


def never(exchange):
    """Doesn't answer, until the gateway gives up or the test ends."""
    while not exchange.connection.peer_has_closed():
        time.sleep(0.01)
    exchange.keep_open = False


def dribbles(*pieces, interval=0.1, fields=()):
    """A chunked answer, a piece at a time; the head comes at once."""

    def handler(exchange):
        exchange.send(encode_head("HTTP/1.1 200 OK", [("X-Backend", exchange.backend.name), ("Transfer-Encoding", "chunked"), *fields]))
        for piece in pieces:
            time.sleep(interval)
            exchange.send(b"%x\r\n%s\r\n" % (len(piece), piece))
        exchange.send(b"0\r\n\r\n")

    return handler


def then_default(*handlers):
    """The first request gets the first handler, and so on; after them the ordinary answer."""
    queue = collections.deque(handlers)
    ordinary = answer()

    def handler(exchange):
        try:
            next_one = queue.popleft()
        except IndexError:
            next_one = ordinary
        next_one(exchange)

    return handler


def tunnel_echo(protocol):
    """Answers an upgrade with 101 and then sends every byte back, until the client's end is closed."""

    def handler(exchange):
        exchange.send(encode_head("HTTP/1.1 101 Switching Protocols", [("Connection", "upgrade"), ("Upgrade", protocol)]))
        exchange.keep_open = False
        try:
            while True:
                exchange.send(exchange.connection.reader.some())
        except ConnectionError:
            exchange.connection.sock.shutdown(socket.SHUT_WR)

    return handler


# Addresses that don't answer


class Refusing:
    """An address that refuses every connection, and that nobody else can take meanwhile."""

    def __init__(self):
        self._sock = socket.socket()
        self._sock.bind(("127.0.0.1", 0))
        self.port = self._sock.getsockname()[1]
        self.address = f"127.0.0.1:{self.port}"

    def stop(self):
        self._sock.close()


class Deaf:
    """An address where a connect gets no answer at all: a listener whose queue is full."""

    def __init__(self):
        self._listener = socket.socket()
        self._listener.bind(("127.0.0.1", 0))
        self._listener.listen(0)
        self.port = self._listener.getsockname()[1]
        self.address = f"127.0.0.1:{self.port}"
        self._fillers = []
        while True:
            filler = socket.socket()
            filler.settimeout(0.2)
            self._fillers.append(filler)
            try:
                filler.connect(("127.0.0.1", self.port))
            except socket.timeout:
                return

    def stop(self):
        for sock in [*self._fillers, self._listener]:
            sock.close()
