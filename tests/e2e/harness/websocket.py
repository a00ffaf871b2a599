"""Just enough of RFC 6455 to talk through a tunnel: the handshake, masked frames out, plain frames in."""

import base64
import hashlib
import os
import struct

from .wire import encode_head

GUID = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
TEXT, BINARY, CLOSE, PING, PONG = 1, 2, 8, 9, 10


def accept_key(key):
    return base64.b64encode(hashlib.sha1(key.encode() + GUID).digest()).decode()


def connect(client, target, host="test.example"):
    """Upgrades a Client's connection and returns the 101."""
    key = base64.b64encode(os.urandom(16)).decode()
    client.send_request(
        "GET", target, host=host, fields=[("Connection", "Upgrade"), ("Upgrade", "websocket"), ("Sec-WebSocket-Version", "13"), ("Sec-WebSocket-Key", key)]
    )
    response = client.read_response_head()
    assert response.status == 101, response
    assert response.fields["sec-websocket-accept"] == accept_key(key)
    return response


def encode_frame(kind, data, mask=None):
    length = len(data)
    flag = 0x80 if mask else 0
    if length < 126:
        head = struct.pack("!BB", 0x80 | kind, flag | length)
    elif length < 1 << 16:
        head = struct.pack("!BBH", 0x80 | kind, flag | 126, length)
    else:
        head = struct.pack("!BBQ", 0x80 | kind, flag | 127, length)
    return head + (mask + _masked(data, mask) if mask else data)


def read_frame(reader):
    first, second = reader.exactly(2)
    length = second & 0x7F
    if length == 126:
        (length,) = struct.unpack("!H", reader.exactly(2))
    elif length == 127:
        (length,) = struct.unpack("!Q", reader.exactly(8))
    mask = reader.exactly(4) if second & 0x80 else None
    data = reader.exactly(length)
    return first & 0x0F, _masked(data, mask) if mask else data


def _masked(data, mask):
    size = len(data)
    pattern = (mask * (size // 4 + 1))[:size]
    return (int.from_bytes(data, "big") ^ int.from_bytes(pattern, "big")).to_bytes(size, "big")


def send(client, kind, data):
    client.send(encode_frame(kind, data, os.urandom(4)))


def echo_server(exchange):
    """A backend's handler: a WebSocket that sends every message back."""
    key = exchange.request.fields["sec-websocket-key"]
    exchange.send(
        encode_head("HTTP/1.1 101 Switching Protocols", [("Connection", "Upgrade"), ("Upgrade", "websocket"), ("Sec-WebSocket-Accept", accept_key(key))])
    )
    exchange.keep_open = False
    while True:
        kind, data = read_frame(exchange.connection.reader)
        exchange.send(encode_frame(PONG if kind == PING else kind, data))
        if kind == CLOSE:
            return
