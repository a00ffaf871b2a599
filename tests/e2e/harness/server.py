"""A threaded TCP server on a port of its own: the ground under Backend and FakeConsul."""

import os
import socket
import struct
import threading

from .wire import Reader


class Connection:
    def __init__(self, sock, peer, number):
        self.sock, self.peer, self.number = sock, peer, number
        self.reader = Reader(sock)
        self._resets = False

    def send(self, data):
        self.sock.sendall(data)

    def close(self):
        try:
            if not self._resets:
                self.sock.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass
        self.sock.close()

    def reset(self):
        self._resets = True
        try:
            self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            self.sock.shutdown(socket.SHUT_RD)  # wakes a thread that reads, else the socket would outlive its close
        except OSError:
            pass
        self.sock.close()

    def peer_has_closed(self):
        try:
            return self.sock.recv(1, socket.MSG_PEEK | socket.MSG_DONTWAIT) == b""
        except BlockingIOError:
            return False
        except OSError:
            return True


class Server:
    """Subclasses give serve(connection), which runs in a thread of the connection and may raise OSError to end it."""

    def __init__(self, host="127.0.0.1", unix_path=None, receive_buffer=None, tls=None):
        """tls: an ssl.SSLContext, whose connections are secured before they are served."""
        self.tls = tls
        self.handshakes_failed = 0
        self.host, self.unix_path, self._receive_buffer = host, unix_path, receive_buffer
        self.port = 0
        self.accepted = 0  # connections, ever
        self._lock = threading.Lock()
        self._open = set()
        self._listener = None
        self.listen()

    @property
    def address(self):
        return f"{self.host}:{self.port}"

    @property
    def endpoint(self):
        """(host, port), as sockets want it."""
        return self.host, self.port

    @property
    def open_connections(self):
        return len(self._open)

    def listen(self):
        """Listens, after stop_listening() on the same port again."""
        if self.unix_path:
            listener = socket.socket(socket.AF_UNIX)
            if os.path.exists(self.unix_path):
                os.unlink(self.unix_path)
            listener.bind(self.unix_path)
        else:
            listener = socket.socket()
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            if self._receive_buffer:
                listener.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, self._receive_buffer)
            listener.bind((self.host, self.port))
            self.port = listener.getsockname()[1]
        listener.listen(1024)
        self._listener = listener
        threading.Thread(target=self._accept, args=(listener,), daemon=True).start()

    def stop_listening(self):
        """New connections are refused, open ones go on."""
        listener, self._listener = self._listener, None
        if listener:
            try:
                listener.shutdown(socket.SHUT_RDWR)  # wakes the accept
            except OSError:
                pass
            listener.close()

    def drop_connections(self, reset=False):
        with self._lock:
            connections = list(self._open)
        for connection in connections:
            connection.reset() if reset else connection.close()

    def stop(self):
        self.stop_listening()
        self.drop_connections()

    def _accept(self, listener):
        while True:
            try:
                sock, peer = listener.accept()
            except OSError:
                return
            if not self.unix_path:
                sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            with self._lock:
                self.accepted += 1
                connection = Connection(sock, peer, self.accepted)
                self._open.add(connection)
            threading.Thread(target=self._run, args=(connection,), daemon=True).start()

    def _run(self, connection):
        try:
            if self.tls:
                self._secure(connection)
            self.serve(connection)
        except OSError:
            pass
        finally:
            with self._lock:
                self._open.discard(connection)
            connection.close()

    def _secure(self, connection):
        try:
            connection.sock = self.tls.wrap_socket(connection.sock, server_side=True)
        except OSError:
            with self._lock:
                self.handshakes_failed += 1
            raise
        connection.reader = Reader(connection.sock)

    def serve(self, connection):
        raise NotImplementedError
