"""A certificate authority of the tests' own, made by openssl, and one certificate for 127.0.0.1 and localhost."""

import subprocess
from pathlib import Path


class Authority:
    def __init__(self, folder):
        self.folder = Path(folder)
        self.folder.mkdir(parents=True, exist_ok=True)
        self.ca, self.cert, self.key = (str(self.folder / name) for name in ("ca.pem", "server.pem", "server.key"))
        ca_key, request, extensions = (str(self.folder / name) for name in ("ca.key", "server.csr", "server.ext"))
        fresh = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"]
        _openssl("req", "-x509", *fresh, "-keyout", ca_key, "-out", self.ca, "-days", "30", "-subj", "/CN=tests")
        _openssl("req", *fresh, "-keyout", self.key, "-out", request, "-subj", "/CN=localhost")
        Path(extensions).write_text("subjectAltName=DNS:localhost,IP:127.0.0.1\n")
        _openssl("x509", "-req", "-in", request, "-CA", self.ca, "-CAkey", ca_key, "-CAcreateserial", "-out", self.cert, "-days", "30", "-extfile", extensions)


def _openssl(*args):
    done = subprocess.run(["openssl", *args], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    assert done.returncode == 0, done.stdout
