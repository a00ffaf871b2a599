"""HTTP/1.x as bytes: one strict reader for both ends, so that whatever the gateway writes, to clients or to
upstreams, is checked against RFC 9112 by every test that merely uses it."""

import re

TOKEN = re.compile(rb"[!#$%&'*+\-.^_`|~0-9A-Za-z]+\Z")
FIELD_VALUE = re.compile(rb"(?:[\x21-\x7e\x80-\xff](?:[\t\x20-\x7e\x80-\xff]*[\x21-\x7e\x80-\xff])?)?\Z")
CHUNK_SIZE = re.compile(rb"([0-9A-Fa-f]{1,15})((?:[ \t]*;[^\r\n]*)?)\Z")


class Violation(AssertionError):
    """The peer wrote something that RFC 9112 doesn't allow."""


class Closed(ConnectionError):
    """The peer closed (or reset) the connection where a message could have begun."""


class Truncated(ConnectionError):
    """The peer closed (or reset) the connection inside a message."""


class Fields:
    """Header or trailer fields in the order in which they came; names compare without case."""

    def __init__(self, pairs=()):
        self.pairs = list(pairs)

    def all(self, name):
        return [value for key, value in self.pairs if key.lower() == name.lower()]

    def get(self, name, default=None):
        values = self.all(name)
        return values[0] if values else default

    def one(self, name):
        """The value of a field that must be there exactly once."""
        values = self.all(name)
        assert len(values) == 1, f"{name} is there {len(values)} times: {self.pairs}"
        return values[0]

    def tokens(self, name):
        """The members of a comma-separated list field, over all its lines."""
        return [part.strip() for value in self.all(name) for part in value.split(",") if part.strip()]

    @property
    def names(self):
        return {key.lower() for key, _ in self.pairs}

    def __contains__(self, name):
        return name.lower() in self.names

    def __getitem__(self, name):
        return self.one(name)

    def __repr__(self):
        return f"Fields({self.pairs})"


class Reader:
    """A socket with a buffer. Bytes read too far stay for the next call."""

    def __init__(self, sock):
        self.sock = sock
        self.buffer = bytearray()

    def _fill(self):
        try:
            data = self.sock.recv(65536)
        except ConnectionError:
            data = b""
        if not data:
            raise (Truncated if self.buffer else Closed)(f"closed with {len(self.buffer)} bytes pending: {bytes(self.buffer[:200])!r}")
        self.buffer += data

    def until(self, mark, limit=1 << 20):
        """Everything up to and with the mark."""
        start = 0
        while (at := self.buffer.find(mark, start)) < 0:
            if len(self.buffer) > limit:
                raise Violation(f"no {mark!r} in the first {limit} bytes")
            start = max(0, len(self.buffer) - len(mark) + 1)
            self._fill()
        return self._take(at + len(mark))

    def exactly(self, size):
        while len(self.buffer) < size:
            self._fill_inside(size)
        return self._take(size)

    def _fill_inside(self, size):
        try:
            self._fill()
        except Closed:
            raise Truncated(f"closed where {size} bytes were to come") from None

    def some(self, size=65536):
        """One to size bytes, whatever is there first."""
        if not self.buffer:
            self._fill()
        return self._take(min(size, len(self.buffer)))

    def rest(self):
        """Everything until the peer closes in an orderly way; a reset is a Truncated."""
        while True:
            try:
                data = self.sock.recv(65536)
            except ConnectionError as error:
                raise Truncated(f"{error} instead of an orderly close") from None
            if not data:
                return self._take(len(self.buffer))
            self.buffer += data

    def _take(self, size):
        data = bytes(self.buffer[:size])
        del self.buffer[:size]
        return data


def parse_fields(block):
    """Fields of a head or trailer section, given without its final empty line."""
    pairs = []
    for line in block.split(b"\r\n") if block else []:
        name, colon, value = line.partition(b":")
        if not colon or not TOKEN.match(name):
            raise Violation(f"not a field line: {line!r}")
        value = value.strip(b" \t")
        if not FIELD_VALUE.match(value):
            raise Violation(f"not a field value: {line!r}")
        pairs.append((name.decode(), value.decode("latin-1")))
    return Fields(pairs)


def read_head(reader):
    """(start line, fields, raw bytes) of the next message."""
    raw = reader.until(b"\r\n\r\n")
    start, _, block = raw[:-4].partition(b"\r\n")
    if b"\n" in start or b"\r" in start:
        raise Violation(f"line break in the start line: {start!r}")
    return start, parse_fields(block), raw


def chunks(reader, on_trailers):
    """Yields the data of each chunk; calls on_trailers(fields) at the end."""
    while True:
        line = reader.until(b"\r\n")[:-2]
        match = CHUNK_SIZE.match(line)
        if not match:
            raise Violation(f"not a chunk size: {line!r}")
        size = int(match[1], 16)
        if size == 0:
            break
        yield reader.exactly(size)
        if reader.exactly(2) != b"\r\n":
            raise Violation("chunk data not followed by CRLF")
    block = b""
    while (line := reader.until(b"\r\n")) != b"\r\n":
        block += line
    on_trailers(parse_fields(block[:-2]))


def framing(fields):
    """("chunked", None), ("length", n) or (None, None), and no excuses."""
    encodings, lengths = fields.tokens("transfer-encoding"), fields.all("content-length")
    if encodings:
        if lengths:
            raise Violation(f"Transfer-Encoding and Content-Length: {fields}")
        if [encoding.lower() for encoding in encodings] != ["chunked"]:
            raise Violation(f"Transfer-Encoding {encodings}")
        return "chunked", None
    if lengths:
        if len(lengths) > 1 or not re.fullmatch(r"[0-9]+", lengths[0]):
            raise Violation(f"Content-Length {lengths}")
        return "length", int(lengths[0])
    return None, None


def encode_head(start, fields):
    pairs = fields.items() if isinstance(fields, dict) else fields
    return f"{start}\r\n".encode("latin-1") + b"".join(f"{k}: {v}\r\n".encode("latin-1") for k, v in pairs) + b"\r\n"


def encode_chunks(pieces, trailers=()):
    body = b"".join(b"%x\r\n%s\r\n" % (len(piece), piece) for piece in pieces if piece)
    pairs = trailers.items() if isinstance(trailers, dict) else trailers
    return body + b"0\r\n" + b"".join(f"{k}: {v}\r\n".encode() for k, v in pairs) + b"\r\n"
