"""The tables, and the text around them, as docs/benchmarks.md has them."""

import datetime
import statistics

from syscalls import READS, WRITES, total

NOISE = 0.05  # of the proxy's core used by others: above this, figures move

HEAD = """# Benchmarks

Written by `scripts/bench`; change the script, not this file. On your machine:

    scripts/bench                      # all of it, about {minutes} minutes; writes this file
    scripts/bench --quick              # one look, in two minutes; writes nothing
    scripts/bench --scenario get-64    # one scenario
    scripts/bench --syscalls           # system calls a request
    scripts/bench --baseline OLD       # an older build of lictor beside this one

## How the figures are made

- lictor, nginx and HAProxy each run with one worker, on one core; the load (wrk) and the backend
  (nginx, answers from memory) share another. Everything goes over loopback.
- All do the same work: HTTP/1.1 kept alive on both sides, pooled connections to the backend,
  {headers}
  No access log but where it says so; bodies are streamed, never written to disk.
- In `chain`, lictor verifies a token (HS256, the same one each time, as a client's requests have it), counts
  the client and sets a header; HAProxy does so by `jwt_verify` and a stick-table, nginx by `limit_req`
  alone: its free version knows no tokens.
- Before a scenario is measured, each proxy must give the right status, body and headers. Then it is
  warmed up, and takes its turn: A B C A B C, so that a slow minute of the machine hits all alike.
- CPU is what the kernel says that all of a proxy's processes and threads used (`/proc/<pid>/stat`),
  divided by the requests that wrk saw answered. Each figure is the median of its rounds; *CPU
  range* is the least and the most. The kernel samples how the time divides into *user* and
  *system*; their sum is exact.
- With metrics, each round has one read of them, by HAProxy's exporter too; nginx has none.
- TLS is 1.3 to the proxy and none behind it, with a certificate on P-256. Handshakes are made by
  `openssl s_time`, one after the other: neither requests/s nor latency say anything there.
- The configurations are in `scripts/benchlib/configs.py`.

## How to read them

- *CPU µs/request* is the figure to compare: it says how many requests a core can take, and depends
  little on how fast the other core makes them. Most of it is the kernel's network stack (*system*).
- *requests/s* and latency are those of a closed loop (each connection waits for its answer): with a
  core near 100 % they say the same as the CPU time. Where *core* is well under 100 %, the load or
  the backend was what held things up, and they say little about the proxy.
- *RSS* is the most memory that the serving process ever had. `!` marks a row with errors.
- Ratios below 1 are good for lictor, but for requests/s, where those above 1 are.
"""

COLUMNS = ["", "CPU µs/request", "user", "system", "requests/s", "p50 ms", "p99 ms", "RSS MiB",
           "core", "CPU range"]


def table(rows, columns):
    """Markdown that is also easy to read as it is."""
    rows = [columns, *rows]
    widths = [max(len(row[i]) for row in rows) for i in range(len(columns))]
    lines = []
    for row in rows:
        cells = [row[0].ljust(widths[0])]
        cells += [cell.rjust(width) for cell, width in zip(row[1:], widths[1:])]
        lines.append("| " + " | ".join(cells) + " |")
    rule = ["-" * widths[0]] + ["-" * (width - 1) + ":" for width in widths[1:]]
    lines.insert(1, "| " + " | ".join(rule) + " |")
    return "\n".join(lines)


def ratio(one, other):
    return f"{one / other:.2f}" if other else "-"


def figures(result):
    low, high = result.spread("cpu")
    return [
        result.label + (" !" if result.errors() else ""),
        f"{result.median('cpu'):.2f}",
        f"{result.median('user'):.2f}",
        f"{result.median('system'):.2f}",
        f"{result.median('per_second'):,.0f}",
        f"{result.median('p50') / 1000:.2f}",
        f"{result.median('p99') / 1000:.2f}",
        f"{result.peak / (1 << 20):.1f}",
        f"{result.median('busy') * 100:.0f} %",
        f"{low:.2f}-{high:.2f}",
    ]


def ratios(own, other):
    names = ("cpu", "user", "system", "per_second", "p50", "p99")
    return [
        f"{own.label} / {other.label}",
        *(ratio(own.median(name), other.median(name)) for name in names),
        ratio(own.peak, other.peak),
        "",
        "",
    ]


def load_section(scenario, results, measured):
    """One scenario's table, with what must be known to read it; `measured` has those before it."""
    rows = [figures(result) for result in results.values()]
    own = results.get("lictor")
    if own:
        rows += [ratios(own, other) for kind, other in results.items() if kind != "lictor"]
    lines = [f"### {scenario.name}: {scenario.title}", "", table(rows, COLUMNS)]
    for result in results.values():
        errors = result.errors()
        if errors:
            told = ", ".join(f"{count} {name}" for name, count in errors.items())
            lines += ["", f"{result.label} had errors: {told}."]
        if scenario.logged and result.median("lines") < 0.999:
            lost = 1 - result.median("lines")
            lines += ["", f"{result.label} left out {lost * 100:.1f} % of the access log's lines."]
    plain = next((r for one, r in measured if one.name == scenario.against), None)
    if plain:
        more = ", ".join(
            f"{result.label} {result.median('cpu') - plain[kind].median('cpu'):+.2f} µs"
            for kind, result in results.items()
        )
        lines += ["", f"Against {scenario.against}: {more}."]
    noise = noise_of(results)
    if noise > NOISE:
        lines += ["", f"Noisy: other programs used {noise * 100:.0f} % of the proxies' core."]
    return "\n".join(lines)


def noise_of(results):
    return statistics.median(one.others for result in results.values() for one in result.rounds)


def idle_section(scenario, results):
    """`results` has, for each proxy, its label and a list of (before, with) in bytes."""

    def bytes_each(pairs):
        return statistics.median((after - before) / scenario.idle for before, after in pairs)

    rows = []
    for label, pairs in results.values():
        rows.append([
            label,
            f"{bytes_each(pairs):,.0f}",
            f"{statistics.median(before for before, _ in pairs) / (1 << 20):.1f}",
            f"{statistics.median(after for _, after in pairs) / (1 << 20):.1f}",
        ])
    if "lictor" in results:
        own = bytes_each(results["lictor"][1])
        for kind, (label, pairs) in results.items():
            if kind != "lictor":
                rows.append([f"lictor / {label}", ratio(own, bytes_each(pairs)), "", ""])
    columns = ["", "bytes/connection", "RSS MiB before", "RSS MiB with them"]
    return "\n".join([
        f"### {scenario.name}: {scenario.title}",
        "",
        table(rows, columns),
        "",
        "Each connection has had one answer. The kernel's memory for it is not counted, nor what a",
        "proxy set aside at its start: nginx has its table of connections from then on.",
    ])


def syscalls_section(calls):
    lines = [
        "### System calls of lictor, each proxied 100-byte GET",
        "",
        f"{total(calls, READS):.2f} reads and {total(calls, WRITES):.2f} writes "
        "(`strace -c -f`, 2,000 requests over 8 kept-alive connections):",
        "",
        table([[name, f"{count:.2f}"] for name, count in calls.items()], ["call", "a request"]),
    ]
    return "\n".join(lines)


def summary(measured):
    """CPU and p99 of all scenarios in one table; `measured` is [(scenario, results)]."""
    others = [kind for kind in ("baseline", "nginx", "haproxy")
              if any(kind in results for _, results in measured)]
    label = {kind: result.label for _, results in measured for kind, result in results.items()}
    columns = ["CPU µs/request", "lictor", *(label[kind] for kind in others)]
    columns += [f"/ {label[kind]}" for kind in others]
    columns += [f"p99 / {label[kind]}" for kind in others]
    rows = []
    for scenario, results in measured:
        cpu = {kind: result.median("cpu") for kind, result in results.items()}
        p99 = {kind: result.median("p99") for kind, result in results.items()}
        row = [scenario.name, *(f"{cpu[k]:.2f}" if k in cpu else "-" for k in ("lictor", *others))]
        for values in (cpu, p99):
            row += [ratio(values["lictor"], values[k]) if k in values else "-" for k in others]
        rows.append(row)
    return table(rows, columns)


def machine_section(facts):
    """`facts` is [(what, value)]."""
    return "\n".join(f"- {what}: {value}" for what, value in facts)


def head(minutes, all_headers):
    told = "and X-Forwarded-For."
    if all_headers:
        told = "X-Forwarded-For, -Proto, -Host and -Port, X-Request-Id, and Via both ways."
    return HEAD.format(minutes=minutes, headers=told)


def today():
    return datetime.datetime.now(datetime.timezone.utc).strftime("%Y-%m-%d %H:%M UTC")
