#!/usr/bin/env python3
"""Writes the seeds of the targets that read HTTP, made of tests/corpus: seeds.py FOLDER"""

import hashlib
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "e2e"))

from harness import corpus  # noqa: E402

STEP = b"\xfe"
ASKED = {
    "GET": b"GET / HTTP/1.1\r\nHost: x\r\n\r\n",
    "HEAD": b"HEAD / HTTP/1.1\r\nHost: x\r\n\r\n",
    "GET 1.0": b"GET / HTTP/1.0\r\n\r\n",
    "GET upgrade": b"GET / HTTP/1.1\r\nHost: x\r\nConnection: upgrade\r\nUpgrade: echo/1\r\n\r\n",
}
OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
NEXT = b"GET /n HTTP/1.1\r\nHost: x\r\n\r\n"
LONGEST = 2000  # what is longer is long for its own sake


def write(folder, target, data):
    if len(data) <= LONGEST:
        path = folder / target / hashlib.sha1(data).hexdigest()[:16]
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)


def main(folder):
    for case in corpus.read("requests"):
        write(folder, "request", b"\0" + case.bytes + NEXT)
        write(folder, "exchange", case.bytes + STEP + b"u" + OK + STEP + b"c" + NEXT + STEP + b"u" + OK)
    for case in corpus.read("responses"):
        ask = case.one("ask", "GET")
        write(folder, "response", (b"\2" if ask == "HEAD" else b"\0") + case.bytes)
        end = {"closes": STEP + b"E", "resets": STEP + b"R"}.get(case.one("upstream"), b"")
        write(folder, "exchange", ASKED[ask] + STEP + b"u" + case.bytes + end + STEP + b"c" + NEXT + STEP + b"u" + OK)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
