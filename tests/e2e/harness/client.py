"""A raw HTTP/1.x client: it sends exactly the bytes it is given and believes only well-formed answers."""

import json
import socket
import struct
from dataclasses import dataclass, field

from . import wire
from .wire import Closed, Fields, Reader, Truncated, Violation, encode_chunks, encode_head


@dataclass
class Response:
    status: int
    reason: str
    version: str
    fields: Fields
    body: bytes = b""
    trailers: Fields = field(default_factory=Fields)
    framing: str = "none"  # none, length, chunked or close
    interim: list = field(default_factory=list)  # the 1xx answers before this one

    def json(self):
        return json.loads(self.body)

    @property
    def text(self):
        return self.body.decode()

    @property
    def backend(self):
        """Which Backend answered."""
        return self.fields.get("x-backend")

    @property
    def closes(self):
        return "close" in [token.lower() for token in self.fields.tokens("connection")]

    def problem(self, status, code):
        """Checks an answer of the gateway's own (RFC 9457 and RFC 9209) and returns its JSON."""
        assert self.status == status, f"{self.status} instead of {status}: {self.body!r}"
        assert self.fields["content-type"].split(";")[0] == "application/problem+json"
        problem = self.json()
        assert problem["code"] == code, problem
        assert problem["status"] == status and problem["title"], problem
        assert problem["request_id"], problem
        assert self.fields["proxy-status"].startswith("lictor"), self.fields
        return problem


class Client:
    """One connection. Use as a context manager; every read has a time limit."""

    def __init__(self, address, timeout=10.0, receive_buffer=None, source=None, tls=None, server_name=None, session=None):
        """tls: an ssl.SSLContext; session: of an earlier connection, to be resumed."""
        self.sock = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        if receive_buffer:
            self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
        if source:
            self.sock.bind((source, 0))
        self.sock.settimeout(timeout)
        self.sock.connect(address)
        self.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if tls:
            try:
                self.sock = tls.wrap_socket(self.sock, server_hostname=server_name, session=session)
            except BaseException:
                self.sock.close()
                raise
        self.address = address
        self.reader = Reader(self.sock)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    # Writing

    def send(self, data):
        self.sock.sendall(data)

    def send_request(self, method, target, fields=(), body=None, host="test.example", version="HTTP/1.1", chunked=None, trailers=()):
        """Sends a well-formed request. A list of chunks as body (or trailers) makes it chunked."""
        self.send(request_bytes(method, target, fields, body, host, version, chunked, trailers))

    def half_close(self):
        self.sock.shutdown(socket.SHUT_WR)

    def reset(self):
        """Closes with RST, as a client does that is gone for good."""
        self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.sock.close()

    def close(self):
        self.sock.close()

    # Reading

    def read_response(self, method="GET"):
        """The next final response, whole. Truncated when it breaks off, Closed when there is none."""
        response = self.read_response_head(method)
        response.body = b"".join(self.body_pieces(response))
        return response

    def read_response_head(self, method="GET"):
        interim = []
        while True:
            start, fields, _ = wire.read_head(self.reader)
            response = parse_status_line(start, fields)
            if response.status < 200 and response.status != 101:
                if wire.framing(fields) != (None, None):
                    raise Violation(f"framing fields in a {response.status}")
                interim.append(response)
                continue
            response.interim = interim
            response.framing, self._length = response_framing(response, method)
            return response

    def body_pieces(self, response):
        """The body as it comes, for bodies too large to hold or too slow to wait for."""
        if response.framing == "chunked":
            yield from wire.chunks(self.reader, lambda trailers: setattr(response, "trailers", trailers))
        elif response.framing == "length":
            left = self._length
            while left:
                piece = self._inside(lambda: self.reader.some(min(left, 65536)))
                left -= len(piece)
                yield piece
        elif response.framing == "close":
            yield self.reader.rest()

    @staticmethod
    def _inside(read):
        try:
            return read()
        except Closed as error:
            raise Truncated(str(error)) from None

    def request(self, method, target, **how):
        self.send_request(method, target, **how)
        return self.read_response(method)

    def get(self, target, **how):
        return self.request("GET", target, **how)

    def expect_close(self, timeout=5.0):
        """The gateway closes, in an orderly way or by reset, without another byte."""
        self.sock.settimeout(timeout)
        assert not self.reader.buffer, f"unexpected bytes: {bytes(self.reader.buffer[:200])!r}"
        try:
            data = self.sock.recv(65536)
        except ConnectionError:
            return
        except socket.timeout:
            raise AssertionError(f"the connection is still open after {timeout} s") from None
        assert not data, f"unexpected bytes: {data[:200]!r}"

    def expect_silence(self, seconds=0.3):
        """The connection stays open and nothing more comes."""
        assert not self.reader.buffer, f"unexpected bytes: {bytes(self.reader.buffer[:200])!r}"
        before = self.sock.gettimeout()
        self.sock.settimeout(seconds)
        try:
            data = self.sock.recv(65536)
            raise AssertionError(f"unexpected bytes: {data[:200]!r}" if data else "the connection was closed")
        except socket.timeout:
            pass
        finally:
            self.sock.settimeout(before)


def request_bytes(method, target, fields=(), body=None, host="test.example", version="HTTP/1.1", chunked=None, trailers=()):
    pairs = list(fields.items() if isinstance(fields, dict) else fields)
    if host is not None:
        pairs.insert(0, ("Host", host))
    if chunked is None:
        chunked = isinstance(body, (list, tuple)) or bool(trailers)
    if chunked:
        pieces = body if isinstance(body, (list, tuple)) else [body or b""]
        return encode_head(f"{method} {target} {version}", pairs + [("Transfer-Encoding", "chunked")]) + encode_chunks(pieces, trailers)
    if body is not None:
        pairs.append(("Content-Length", len(body)))
    return encode_head(f"{method} {target} {version}", pairs) + (body or b"")


def parse_status_line(start, fields):
    version, _, rest = start.decode("latin-1").partition(" ")
    status, _, reason = rest.partition(" ")
    if version not in ("HTTP/1.1", "HTTP/1.0") or not (len(status) == 3 and status.isdigit()):
        raise Violation(f"not a status line: {start!r}")
    return Response(int(status), reason, version, fields)


def response_framing(response, method):
    how, length = wire.framing(response.fields)
    status = response.status
    if status in (101, 204) and how:
        raise Violation(f"framing fields in a {status}: {response.fields}")
    if method == "HEAD" or status in (101, 204, 304):
        return "none", None
    return how or "close", length


def fetch(address, target="/", method="GET", timeout=10.0, source=None, **how):
    """One request on a connection of its own."""
    with Client(address, timeout=timeout, source=source) as client:
        return client.request(method, target, **how)
