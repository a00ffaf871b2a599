"""Reads tests/corpus: messages as data, and what must become of them. tests/corpus/README.md tells the format."""

import re
from dataclasses import dataclass, field
from pathlib import Path

FOLDER = Path(__file__).resolve().parents[2] / "corpus"

_ESCAPE = re.compile(r"\\(?:x([0-9a-f]{2})|\{(\d+)\*((?:[^\\}]|\\[^{])*)\}|(.))", re.DOTALL)
_SIMPLE = {"r": "\r", "n": "\n", "t": "\t", "0": "\0", "\\": "\\"}


@dataclass
class Case:
    """One message. `rest` has the lines that say what must happen, as (word, text)."""

    file: str
    name: str
    see: str = ""
    bytes: bytes = b""
    rest: list = field(default_factory=list)

    @property
    def id(self):
        return f"{Path(self.file).stem}: {self.name}"

    def all(self, word):
        return [text for key, text in self.rest if key == word]

    def one(self, word, default=None):
        found = self.all(word)
        assert len(found) <= 1, f"{self.id}: {word} is there {len(found)} times"
        return found[0] if found else default


def unescape(text):
    def one(match):
        code, times, what, simple = match.groups()
        if code:
            return chr(int(code, 16))
        if times:
            return _unescaped(what) * int(times)
        return _SIMPLE[simple]

    def _unescaped(part):
        return _ESCAPE.sub(one, part)

    return _unescaped(text).encode("latin-1")


def _line_bytes(text):
    continues = text.endswith("\\") and not text.endswith("\\\\")
    return unescape(text[:-1]) if continues else unescape(text) + b"\r\n"


def read_file(path):
    cases = []
    for number, line in enumerate(path.read_text(encoding="ascii").splitlines(), 1):
        if not line or line.startswith("#"):
            continue
        if line.startswith("== "):
            cases.append(Case(path.name, line[3:]))
        elif line == ">" or line.startswith("> "):
            cases[-1].bytes += _line_bytes(line[2:])
        else:
            word, _, text = line.partition(" ")
            assert word in WORDS, f"{path.name}:{number}: {word!r} is no word of the corpus"
            if word == "see":
                cases[-1].see = text
            else:
                cases[-1].rest.append((word, text))
    for case in cases:
        assert case.see, f"{case.id}: it does not say where that is written"
    return cases


WORDS = {"see", "answer", "then", "upstream", "has", "with", "lacks", "trailer", "ask", "client", "connection"}


def read(kind):
    """All cases of "requests" or "responses"."""
    cases = [case for path in sorted((FOLDER / kind).glob("*.txt")) for case in read_file(path)]
    ids = [case.id for case in cases]
    assert len(set(ids)) == len(ids), f"twice: {sorted(one for one in set(ids) if ids.count(one) > 1)}"
    return cases
