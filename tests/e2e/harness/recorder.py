"""An upstream that writes down every byte and answers exactly as told. One thread serves all connections, so that a
request that was answered proves that everything sent before it has been written down."""

import selectors
import socket
import struct
import threading
from dataclasses import dataclass, field

from . import wire
from .wire import Fields, Violation

ORDINARY = b"HTTP/1.1 200 OK\r\nX-Backend: recorder\r\nContent-Length: 2\r\n\r\nok"


@dataclass
class Script:
    """What is answered to whatever is not a probe; then: stays, closes or resets."""

    bytes: bytes
    then: str = "stays"
    one_by_one: bool = False
    connection: int = 0  # where it was used
    done: threading.Event = field(default_factory=threading.Event)


@dataclass
class Recorded:
    method: str
    target: str
    fields: Fields
    body: bytes
    trailers: Fields
    raw: bytes
    connection: int


class _Short(Exception):
    """The message is not all there yet."""


class _Bytes(wire.Reader):
    def __init__(self, data):
        super().__init__(None)
        self.buffer = bytearray(data)

    def _fill(self):
        raise _Short


class _Connection:
    def __init__(self, sock, number):
        self.sock, self.number = sock, number
        self.pending = b""
        self.dead = False


class Recorder:
    PROBES = ("/next", "/fence")

    def __init__(self):
        self.requests, self.violations = [], []
        self.script = None
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=256)
        self.address = "127.0.0.1:%d" % self._listener.getsockname()[1]
        self._selector = selectors.DefaultSelector()
        self._selector.register(self._listener, selectors.EVENT_READ)
        self._connections = {}
        self._accepted = 0
        self._begun = 0  # connections that ended inside a request
        self._stopping = False
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    name = "recorder"

    def stop(self):
        self._stopping = True
        socket.create_connection(self._listener.getsockname()).close()
        self._thread.join(timeout=5)
        for connection in list(self._connections.values()):
            connection.sock.close()
        self._listener.close()

    def clear(self):
        self.requests, self.violations, self.script, self._begun = [], [], None, 0

    def whole(self):
        """The requests that arrived, all of each, but for the tests' own probes."""
        return [request for request in self.requests if request.target not in self.PROBES]

    def begun(self):
        """How many requests began and are not whole."""
        return self._begun + sum(bool(connection.pending) for connection in list(self._connections.values()))

    def _run(self):
        while not self._stopping:
            heard = []
            for key, _ in self._selector.select():
                if key.fileobj is self._listener:
                    self._accept()
                elif self._read(key.data):
                    heard.append(key.data)
            for connection in heard:  # only now, when all that was sent before is written down
                self._answer(connection)

    def _accept(self):
        sock, _ = self._listener.accept()
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._accepted += 1
        connection = _Connection(sock, self._accepted)
        self._connections[sock] = connection
        self._selector.register(sock, selectors.EVENT_READ, connection)

    def _read(self, connection):
        try:
            data = connection.sock.recv(1 << 20)
        except OSError:
            data = b""
        if not data:
            self._drop(connection)
            return False
        connection.pending += data
        return True

    def _drop(self, connection, reset=False):
        if connection.pending:
            self._begun += 1
        connection.dead = True
        self._selector.unregister(connection.sock)
        del self._connections[connection.sock]
        if reset:
            connection.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        connection.sock.close()

    def _answer(self, connection):
        while connection.pending and not connection.dead:
            try:
                request, size = _parse(connection.pending, connection.number)
            except _Short:
                return
            except Violation as violation:
                self.violations.append(violation)
                self._drop(connection)
                return
            connection.pending = connection.pending[size:]
            self.requests.append(request)
            script = None if request.target in self.PROBES else self.script
            try:
                if script is None:
                    connection.sock.sendall(ORDINARY[:-2] if request.method == "HEAD" else ORDINARY)
                else:
                    self._play(script, connection)
            except OSError:
                self._drop(connection)

    def _play(self, script, connection):
        script.connection = connection.number
        try:
            for piece in pieces(script.bytes, script.one_by_one):
                connection.sock.sendall(piece)
            if script.then != "stays":
                self._drop(connection, reset=script.then == "resets")
        finally:
            script.done.set()


def pieces(data, one_by_one):
    """All at once, or byte by byte; of what is long the middle in larger pieces."""
    if not one_by_one:
        return [data]
    edge = 2048
    if len(data) <= 2 * edge:
        return [data[at : at + 1] for at in range(len(data))]
    middle = data[edge:-edge]
    return [
        *(data[at : at + 1] for at in range(edge)),
        *(middle[at : at + 61] for at in range(0, len(middle), 61)),
        *(data[at : at + 1] for at in range(len(data) - edge, len(data))),
    ]


def _parse(data, number):
    """The first request in these bytes, and how many of them it takes."""
    reader = _Bytes(data)
    start, fields, raw = wire.read_head(reader)
    parts = start.decode("latin-1").split(" ")
    if len(parts) != 3 or parts[2] != "HTTP/1.1" or not parts[1] or not wire.TOKEN.match(parts[0].encode()):
        raise Violation(f"not a request line for an upstream: {start!r}")
    fields.one("host")
    how, length = wire.framing(fields)
    trailers = []
    if how == "chunked":
        body = b"".join(wire.chunks(reader, trailers.append))
    else:
        body = reader.exactly(length or 0)
    size = len(data) - len(reader.buffer)
    request = Recorded(parts[0], parts[1], fields, body, trailers[0] if trailers else Fields(), data[:size], number)
    return request, size
