"""What is measured: each scenario is one kind of traffic and one way the proxies are set up."""

import base64
import dataclasses
import hashlib
import hmac
import json

SMALL = 100
LARGE = 1 << 20
UPLOAD = 256 << 10
ROUTES = 1000
SECRET = "the secret of nobody but this benchmark"
ISSUER = "https://issuer.example"


def token():
    """A signed token (HS256) that stays good until 2100."""

    def part(value):
        data = value if isinstance(value, bytes) else json.dumps(value).encode()
        return base64.urlsafe_b64encode(data).rstrip(b"=")

    signed = part({"alg": "HS256", "typ": "JWT"})
    signed += b"." + part({"iss": ISSUER, "sub": "bench", "exp": 4102444800})
    signature = hmac.digest(SECRET.encode(), signed, hashlib.sha256)
    return (signed + b"." + part(signature)).decode()


@dataclasses.dataclass(frozen=True)
class Scenario:
    name: str
    title: str
    path: str = "/small"
    connections: int = 64
    length: int = SMALL  # of the response's body
    upload: int = 0  # bytes of the request's body
    close: bool = False  # a new connection for each request
    routes: int = 0  # this many routes with filters, instead of one without
    chain: bool = False  # a signed token, a rate limit and a header for each request
    logged: bool = False  # access log to a file, metrics read during each round
    against: str = ""  # the scenario that this one is a variation of
    tls: bool = False  # to the proxy, not behind it
    handshake: str = ""  # "new" or "reuse": a connection a request, by openssl s_time
    idle: int = 0  # no load: memory of this many idle connections

    def lua(self):
        """The wrk script: what to send, and the results in a form that is easy to read."""
        lines = []
        if self.upload:
            lines += [
                'wrk.method = "POST"',
                f'wrk.body = string.rep("x", {self.upload})',
            ]
        if self.close:
            lines.append('wrk.headers["Connection"] = "close"')
        for name, value in self.headers().items():
            lines.append(f'wrk.headers["{name}"] = "{value}"')
        if self.routes:
            lines.append(ROUTES_LUA % {"routes": self.routes})
        return "\n".join([*lines, DONE_LUA])

    def headers(self):
        """That the requests have beside the usual ones."""
        return {"Authorization": f"Bearer {token()}"} if self.chain else {}


# Every route in turn, from requests that are made before the load begins.
ROUTES_LUA = """
local requests, at = {}, 0
init = function()
  for i = 0, %(routes)d - 1 do
    requests[i] = wrk.format("GET", string.format("/r%%04d/item", i))
  end
end
request = function()
  at = (at + 1) %% %(routes)d
  return requests[at]
end
"""

DONE_LUA = """
done = function(summary, latency)
  local errors = summary.errors
  io.write(string.format(
    "BENCH requests=%d duration_us=%d p50_us=%d p99_us=%d " ..
    "connect=%d read=%d write=%d timeout=%d status=%d\\n",
    summary.requests, summary.duration, latency:percentile(50), latency:percentile(99),
    errors.connect, errors.read, errors.write, errors.timeout, errors.status))
end
"""

ALL = [
    Scenario("get-64", "100-byte GET, keep-alive, 64 connections"),
    Scenario("get-1000", "100-byte GET, keep-alive, 1,000 connections", connections=1000),
    Scenario("download-1m", "1 MiB download, 32 connections", "/large", 32, length=LARGE),
    Scenario("upload-256k", "256 KiB upload, 32 connections", "/upload", 32, upload=UPLOAD),
    Scenario("connect", "100-byte GET, a new connection each, 64 at a time", close=True),
    Scenario(
        "logged",
        "100-byte GET as get-64, with access log and metrics",
        logged=True,
        against="get-64",
    ),
    Scenario(
        "routes-1000",
        "100-byte GET over 1,000 routes with filters, with access log and metrics",
        "/r0500/item",
        routes=ROUTES,
        logged=True,
    ),
    Scenario("tls-get", "100-byte GET under TLS, keep-alive, 64 connections", tls=True, against="get-64"),
    Scenario("tls-download", "1 MiB download under TLS, 32 connections", "/large", 32, length=LARGE, tls=True),
    Scenario("tls-handshake", "100-byte GET, a full TLS handshake each (P-256)", tls=True, handshake="new"),
    Scenario("tls-resume", "100-byte GET, a resumed TLS handshake each", tls=True, handshake="reuse"),
    Scenario("tls-idle", "memory of 2,000 idle keep-alive connections under TLS", tls=True, idle=2000),
    Scenario(
        "chain",
        "100-byte GET as get-64, with a signed token, a rate limit by address and one header more",
        chain=True,
        against="get-64",
    ),
    Scenario("idle-5000", "memory of 5,000 idle keep-alive connections", idle=5000),
]
