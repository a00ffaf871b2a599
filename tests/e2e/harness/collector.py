"""An OpenTelemetry collector: takes OTLP/HTTP in JSON and keeps the spans."""

import http.server
import json
import threading

from .wait import eventually


class Span:
    def __init__(self, data, resource):
        self.data, self.resource = data, resource
        self.id, self.trace, self.parent = data["spanId"], data["traceId"], data.get("parentSpanId")
        self.name, self.kind = data["name"], {2: "server", 3: "client"}[data["kind"]]
        self.attributes = _attributes(data["attributes"])
        self.start, self.end = int(data["startTimeUnixNano"]), int(data["endTimeUnixNano"])
        self.failed = data.get("status", {}).get("code") == 2

    def __getitem__(self, key):
        return self.attributes[key]

    def get(self, key):
        return self.attributes.get(key)

    def __repr__(self):
        return f"{self.kind} {self.name} {self.id} < {self.parent} {self.attributes}"


def _attributes(pairs):
    values = {}
    for pair in pairs:
        assert pair["key"] not in values, f"an attribute twice: {pair}"
        (kind, value), = pair["value"].items()
        values[pair["key"]] = int(value) if kind == "intValue" else value
    return values


class Collector:
    name = "collector"

    def __init__(self):
        self.spans, self.posts, self.violations = [], 0, []
        self.status, self.gate = 200, threading.Event()
        self.gate.set()
        collector = self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self):
                body = self.rfile.read(int(self.headers["Content-Length"]))
                collector.posts += 1
                collector.gate.wait()
                if collector.status == 200:
                    collector.take(self.path, self.headers, body)
                self.send_response(collector.status)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", "2")
                self.end_headers()
                self.wfile.write(b"{}")

            def log_message(self, *_):
                pass

        self._server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._server.server_port}"
        threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True).start()

    def take(self, path, headers, body):
        try:
            assert path == "/v1/traces" and headers["Content-Type"] == "application/json"
            for resource in json.loads(body)["resourceSpans"]:
                attributes = _attributes(resource["resource"]["attributes"])
                for scope in resource["scopeSpans"]:
                    assert scope["scope"]["name"] == "lictor"
                    self.spans += [Span(span, attributes) for span in scope["spans"]]
        except Exception as wrong:
            self.violations.append(wrong)

    def trace(self, trace_id, count, within=5):
        """The spans of one trace, as soon as there are so many: the server's first, then by their start."""
        eventually(lambda: sum(span.trace == trace_id for span in self.spans) >= count, within=within)
        found = [span for span in list(self.spans) if span.trace == trace_id]
        assert len(found) == count, found
        return sorted(found, key=lambda span: (span.kind != "server", span.start))

    def stop(self):
        self.gate.set()
        self._server.shutdown()
        self._server.server_close()
