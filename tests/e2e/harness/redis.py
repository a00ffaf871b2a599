"""A real Redis: started on a free port, asked, paused, killed and started again there."""

import re
import signal
import socket
import subprocess

from .consul import free_ports
from .wait import eventually


class Redis:
    def __init__(self, folder, password=None):
        self.folder, self.password = folder, password
        self.port = free_ports(1)[0]
        self.process = None

    @property
    def url(self):
        who = f":{self.password}@" if self.password else ""
        return f"redis://{who}127.0.0.1:{self.port}"

    def start(self):
        options = {"port": self.port, "bind": "127.0.0.1", "dir": str(self.folder), "save": "", "appendonly": "no"}
        if self.password:
            options["requirepass"] = self.password
        arguments = [part for name, value in options.items() for part in (f"--{name}", str(value))]
        self.process = subprocess.Popen(["redis-server", *arguments], stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.STDOUT)
        eventually(lambda: self.ask("PING"), b"+PONG", within=10)
        return self

    def ask(self, *words):
        """The reply's first line."""
        with socket.create_connection(("127.0.0.1", self.port), timeout=5) as connection:
            reader = connection.makefile("rb")
            if self.password:
                connection.sendall(self._command("AUTH", self.password))
                assert reader.readline() == b"+OK\r\n"
            connection.sendall(self._command(*words))
            return reader.readline().rstrip(b"\r\n")

    @staticmethod
    def _command(*words):
        return b"*%d\r\n" % len(words) + b"".join(b"$%d\r\n%s\r\n" % (len(word), word.encode()) for word in words)

    def keys(self):
        return int(self.ask("DBSIZE")[1:])

    def calls(self, command):
        """How often it was given this command."""
        with socket.create_connection(("127.0.0.1", self.port), timeout=5) as connection:
            connection.sendall(b"INFO commandstats\r\nQUIT\r\n")
            text = b"".join(iter(lambda: connection.recv(65536), b""))
        found = re.search(rf"cmdstat_{command}:calls=(\d+)".encode(), text)
        return int(found[1]) if found else 0

    def pause(self):
        self.process.send_signal(signal.SIGSTOP)

    def go_on(self):
        self.process.send_signal(signal.SIGCONT)

    def kill(self):
        if self.process and self.process.poll() is None:
            self.process.kill()
            self.process.wait()

    def stop(self):
        self.kill()
