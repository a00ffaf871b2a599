"""A strict reader of the Prometheus text format."""

import re

SERIES = re.compile(r'([a-zA-Z_:][a-zA-Z0-9_:]*)(?:\{(.*)\})? (\S+)( \d+)?\Z')
LABEL = re.compile(r'([a-zA-Z_][a-zA-Z0-9_]*)="((?:[^"\\\n]|\\["\\n])*)"(?:,|\Z)')


class Metrics:
    def __init__(self, text):
        self.types = {}
        self.series = {}  # (name, frozenset of labels) → value
        assert text.endswith("\n"), "the last line has no end"
        for line in text.splitlines():
            if line.startswith("# TYPE "):
                _, _, name, kind = line.split(" ")
                assert name not in self.types, f"TYPE twice: {name}"
                assert kind in ("counter", "gauge", "histogram", "summary", "untyped"), line
                self.types[name] = kind
            elif line and not line.startswith("#"):
                self._add(line)

    def _add(self, line):
        match = SERIES.match(line)
        assert match, f"not a sample: {line!r}"
        name, labels, value = match[1], match[2] or "", float(match[3])
        pairs, at = [], 0
        while at < len(labels):
            label = LABEL.match(labels, at)
            assert label, f"not labels: {line!r}"
            pairs.append(label.groups())
            at = label.end()
        assert len(dict(pairs)) == len(pairs), f"a label twice: {line!r}"
        key = (name, frozenset(pairs))
        assert key not in self.series, f"series twice: {line!r}"
        self.series[key] = value

    def find(self, name, /, **labels):
        """[(labels, value)] of the series that carry at least these labels."""
        want = {(key, str(value)) for key, value in labels.items()}
        return [(dict(have), value) for (series, have), value in self.series.items() if series == name and want <= have]

    def sum(self, name, /, **labels):
        return sum(value for _, value in self.find(name, **labels))

    def one(self, name, /, **labels):
        found = self.find(name, **labels)
        assert len(found) == 1, f"{name}{labels} has {len(found)} series"
        return found[0][1]

    def labels(self, name):
        """The set of label names of a family; every series must have the same."""
        sets = {frozenset(have) for have in (dict(pairs).keys() for (series, pairs) in self.series if series == name)}
        assert len(sets) == 1, f"{name} has {len(sets)} label sets: {sets}"
        return set(sets.pop())
