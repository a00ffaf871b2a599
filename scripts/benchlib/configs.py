"""The configurations: the backend, and each proxy doing the same work as lictor.

`plan` has what they need: port, admin_port, backend_port, folder, connections, scenario, and
all_headers (False: X-Forwarded-For is the only header that nginx and HAProxy add)."""

import json
import subprocess

from machine import LOOPBACK
from scenarios import ISSUER, LARGE, SECRET, SMALL


def certificate(folder):
    """A certificate and its key, on P-256, in one file."""
    path = folder / "tls.pem"
    if not path.exists():
        subprocess.run(
            ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1",
             "-nodes", "-days", "30", "-subj", "/CN=bench.example", "-keyout", path, "-out",
             folder / "tls.crt"], capture_output=True, check=True)
        path.write_text(path.read_text() + (folder / "tls.crt").read_text())
    return path


def route_name(number):
    return f"r{number:04d}"


# --- backend -------------------------------------------------------------------------------------


def backend(port, folder, connections, user):
    """nginx answering from memory. It reads an upload whole before it answers, as an application
    does: `return` alone would answer before the body is there, so a second server returns."""
    (folder / "large").write_bytes(b"x" * LARGE)
    return f"""
{user}worker_processes 1;
daemon off;
pid {folder}/backend.pid;
error_log stderr error;
worker_rlimit_nofile {connections + 512};
events {{ worker_connections {connections}; }}
http {{
{nginx_paths(folder, "backend")}
  access_log off;
  server_tokens off;
  default_type application/octet-stream;
  sendfile on;
  tcp_nopush on;
  open_file_cache max=16 inactive=1h;
  open_file_cache_valid 1h;
  keepalive_timeout 1h;
  keepalive_requests 1000000000;
  upstream answer {{
    server unix:{folder}/answer.sock;
    keepalive 512;
    keepalive_requests 1000000000;
  }}
  server {{
    listen {LOOPBACK}:{port} backlog=4096;
    location / {{ return 200 "{'x' * SMALL}"; }}
    location = /headers {{ return 200 "{seen_headers()}"; }}
    location = /large {{ root {folder}; }}
    location = /upload {{
      client_max_body_size 0;
      client_body_buffer_size 512k;
      proxy_pass http://answer;
      proxy_http_version 1.1;
      proxy_pass_request_body off;
      proxy_set_header Connection "";
      proxy_set_header Content-Length "";
    }}
  }}
  server {{
    listen unix:{folder}/answer.sock backlog=4096;
    location / {{ return 200 "{'x' * SMALL}"; }}
  }}
}}
"""


ADDED = ("X-Forwarded-For", "X-Forwarded-Proto", "X-Forwarded-Host", "X-Forwarded-Port")
ADDED += ("X-Request-Id", "Via")


def seen_headers():
    """The answer at /headers: which of the headers that a gateway adds have arrived."""
    return "|".join(f"{name}=$http_{name.lower().replace('-', '_')}" for name in ADDED)


def nginx_paths(folder, name):
    kinds = ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    return "\n".join(f"  {kind}_temp_path {folder}/{name}-{kind};" for kind in kinds)


# What no load reaches: the limit is counted, and never met.
CHAIN_RATE = 1_000_000


# --- lictor --------------------------------------------------------------------------------------


def lictor(plan):
    scenario = plan.scenario
    documents = plan.folder / "documents"
    (documents / "routes").mkdir(parents=True, exist_ok=True)
    (documents / "upstreams").mkdir(exist_ok=True)
    write_json(
        documents / "upstreams" / "backend.json",
        {"endpoints": [{"address": f"{LOOPBACK}:{plan.backend_port}"}]},
    )
    if not scenario.routes:
        route = {"path": "/*", "service": "backend"}
        if scenario.chain:
            (plan.folder / "secret").write_text(SECRET)
            route["filters"] = lictor_chain(plan)
        write_json(documents / "routes" / "all.json", route)
    for number in range(scenario.routes):
        name = route_name(number)
        filters = [
            {"rewrite": {"strip_prefix": f"/{name}"}},
            {"request_headers": {"set": {"X-Route": name}}},
            {"response_headers": {"set": {"X-Route": name}}},
        ]
        route = {"path": f"/{name}/*", "service": "backend", "filters": filters}
        write_json(documents / "routes" / f"{name}.json", route)
    listener = {"name": "http", "address": f"{LOOPBACK}:{plan.port}"}
    if scenario.tls:
        pem = str(certificate(plan.folder))
        listener["tls"] = {"certificates": [{"cert": pem, "key": pem}]}
    access = str(plan.folder / "access.log") if scenario.logged else "off"
    write_json(
        plan.folder / "lictor.json",
        {
            "source": {"directory": str(documents)},
            "listeners": [listener],
            "admin": {"address": f"{LOOPBACK}:{plan.admin_port}"},
            "workers": 1,
            "limits": {"connections": plan.connections},
            "log": {"level": "warn", "access": {"path": access}},
            "drain": {"lead": "0s", "timeout": "1s"},
        },
    )
    return plan.folder / "lictor.json"


def lictor_chain(plan):
    secret = str(plan.folder / "secret")
    return [
        {"jwt": {"issuer": ISSUER, "algorithms": ["HS256"], "secret_file": secret}},
        {"rate_limit": {"rate": CHAIN_RATE, "per": "1s", "key": "client_ip"}},
        {"request_headers": {"set": {"X-Route": "all"}}},
    ]


def write_json(path, value):
    path.write_text(json.dumps(value, indent=1))


# --- nginx ---------------------------------------------------------------------------------------

NGINX_LOG = {
    "time": "$time_iso8601",
    "request_id": "$request_id",
    "client_ip": "$remote_addr",
    "method": "$request_method",
    "host": "$http_host",
    "path": "$uri",
    "protocol": "$server_protocol",
    "listener": "http",
    "status": "$status",
    "bytes_in": "$request_length",
    "bytes_out": "$body_bytes_sent",
    "duration_s": "$request_time",
    "upstream_s": "$upstream_response_time",
    "route": "$route",
    "service": "$proxy_host",
    "instance": "$upstream_addr",
    "user_agent": "$http_user_agent",
}


def nginx_headers(plan, indent="    "):
    """What lictor adds to a request and a response."""
    lines = [
        "proxy_set_header Host $http_host;",
        'proxy_set_header Connection "";',
        "proxy_set_header X-Forwarded-For $remote_addr;",
    ]
    if plan.all_headers:
        lines += [
            "proxy_set_header X-Forwarded-Proto $scheme;",
            "proxy_set_header X-Forwarded-Host $http_host;",
            "proxy_set_header X-Forwarded-Port $server_port;",
            "proxy_set_header X-Request-Id $request_id;",
            'proxy_set_header Via "1.1 nginx";',
            'add_header Via "1.1 nginx";',
        ]
    return "\n".join(indent + line for line in lines)


def nginx_route(plan, name):
    return f"""
    location /{name}/ {{
      set $route {name};
      proxy_pass http://backend/;
{nginx_headers(plan, "      ")}
      proxy_set_header X-Forwarded-Prefix /{name};
      proxy_set_header X-Route {name};
      add_header X-Route {name};
    }}"""


def nginx(plan):
    scenario = plan.scenario
    log = "  access_log off;"
    if scenario.logged:
        members = ",".join(f'"{key}":"{value}"' for key, value in NGINX_LOG.items())
        log = (
            f"  log_format json escape=json '{{{members}}}';\n"
            f"  access_log {plan.folder}/access.log json buffer=64k flush=1s;"
        )
    if scenario.routes:
        routes = "".join(nginx_route(plan, route_name(n)) for n in range(scenario.routes))
    else:
        # Of the chain nginx without its commercial modules has no tokens.
        chain = "limit_req zone=rates burst=100000 nodelay;\n" if scenario.chain else ""
        chain += "      proxy_set_header X-Route all;" if scenario.chain else ""
        routes = f"""
    set $route all;
    location / {{
      {chain}
      proxy_pass http://backend;
{nginx_headers(plan, "      ")}
    }}"""
    tls, secure = "", ""
    if scenario.tls:
        pem = certificate(plan.folder)
        tls = f"""ssl_certificate {pem};
    ssl_certificate_key {pem};
    ssl_protocols TLSv1.2 TLSv1.3;"""
        secure = " ssl"
    (plan.folder / "nginx.conf").write_text(f"""
{plan.nginx_user}worker_processes 1;
daemon off;
pid {plan.folder}/nginx.pid;
error_log stderr error;
worker_rlimit_nofile {plan.connections + 2048};
events {{ worker_connections {plan.connections}; }}
http {{
{nginx_paths(plan.folder, "nginx")}
{log}
  limit_req_zone $binary_remote_addr zone=rates:10m rate={CHAIN_RATE}r/s;
  keepalive_timeout 75s;
  keepalive_requests 1000000000;
  proxy_http_version 1.1;
  proxy_request_buffering off;
  proxy_max_temp_file_size 0;
  client_max_body_size 0;
  upstream backend {{
    server {LOOPBACK}:{plan.backend_port};
    keepalive 1024;
    keepalive_requests 1000000000;
  }}
  server {{
    listen {LOOPBACK}:{plan.port}{secure} backlog=4096;
    {tls}
{routes}
  }}
}}
""")
    return plan.folder / "nginx.conf"


# --- HAProxy -------------------------------------------------------------------------------------

HAPROXY_LOG = {
    "time": "%trg",
    "request_id": "%[var(txn.id)]",
    "client_ip": "%ci",
    "method": "%HM",
    "host": "%[var(txn.host)]",
    "path": "%HPO",
    "protocol": "%HV",
    "listener": "%ft",
    "status": "%ST",
    "bytes_in": "%U",
    "bytes_out": "%B",
    "duration_ms": "%Ta",
    "upstream_ms": "%Tr",
    "route": "%[var(txn.route)]",
    "service": "%b",
    "instance": "%si:%sp",
    "retries": "%rc",
    "user_agent": "%[capture.req.hdr(0)]",
}


def haproxy_frontend(plan):
    scenario = plan.scenario
    lines = ["option forwardfor"]
    if plan.all_headers:
        lines += [
            "http-request set-var(txn.id) uuid()",
            f"http-request set-header X-Forwarded-Proto {'https' if scenario.tls else 'http'}",
            "http-request set-header X-Forwarded-Host %[req.hdr(host)]",
            "http-request set-header X-Forwarded-Port %[dst_port]",
            "http-request set-header X-Request-Id %[var(txn.id)]",
            'http-request set-header Via "1.1 haproxy"',
            'http-response add-header Via "1.1 haproxy"',
        ]
    if scenario.logged:
        members = ",".join(f'\\"{key}\\":\\"{value}\\"' for key, value in HAPROXY_LOG.items())
        lines += [
            "log stdout format raw local0 info",
            "http-request capture req.hdr(user-agent) len 256",
            "http-request set-var(txn.host) req.hdr(host)",
            f'log-format "{{{members}}}"',
        ]
    if scenario.chain:
        lines += [
            "http-request set-var(txn.token) http_auth_bearer",
            "http-request deny deny_status 401 unless "
            f'{{ var(txn.token),jwt_verify("HS256","{SECRET}") -m int 1 }}',
            "http-request deny deny_status 401 unless "
            f"{{ var(txn.token),jwt_payload_query('$.iss') -m str {ISSUER} }}",
            "http-request track-sc0 src table rates",
            "http-request deny deny_status 429 if "
            f"{{ sc_http_req_rate(0) gt {CHAIN_RATE} }}",
            "http-request set-header X-Route all",
        ]
    if scenario.routes:
        table = "".join(f"{route_name(n)} {route_name(n)}\n" for n in range(scenario.routes))
        (plan.folder / "routes.map").write_text(table)
        lines += [
            "http-request set-var(txn.route) "
            f"path,field(2,/),map_str({plan.folder}/routes.map,none)",
            "http-request deny deny_status 404 if { var(txn.route) -m str none }",
            r"http-request replace-path /[^/]+(/.*) \1",
            "http-request set-header X-Forwarded-Prefix /%[var(txn.route)]",
            "http-request set-header X-Route %[var(txn.route)]",
            "http-response set-header X-Route %[var(txn.route)]",
        ]
    return "\n".join("  " + line for line in lines)


def haproxy(plan):
    # Each connection may take two descriptors, and HAProxy refuses to start without enough.
    connections = min(plan.connections, (plan.descriptors - 256) // 2)
    metrics = ""
    if plan.scenario.logged and plan.haproxy_metrics:
        metrics = f"""
frontend metrics
  bind {LOOPBACK}:{plan.admin_port}
  http-request use-service prometheus-exporter if {{ path /metrics }}
"""
    tls = f" ssl crt {certificate(plan.folder)} alpn http/1.1" if plan.scenario.tls else ""
    (plan.folder / "haproxy.cfg").write_text(f"""
global
  nbthread 1
  maxconn {connections}
defaults
  mode http
  http-reuse always
  timeout connect 1s
  timeout client 75s
  timeout server 60s
  timeout http-request 10s
  timeout http-keep-alive 75s
frontend http
  bind {LOOPBACK}:{plan.port} backlog 4096{tls}
{haproxy_frontend(plan)}
  default_backend backend
backend rates
  stick-table type ip size 100k expire 10s store http_req_rate(1s)
backend backend
  server backend {LOOPBACK}:{plan.backend_port}
{metrics}""")
    return plan.folder / "haproxy.cfg"
