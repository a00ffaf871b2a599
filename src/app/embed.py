#!/usr/bin/env python3
"""Makes the C++ source of the files that are part of the program (assets.h).

  embed.py OUT.cc DEPFILE DASHBOARD FILE...

FILEs are embedded by their names. DASHBOARD is a folder: its pages, scripts and styles go along, with
the libraries that npm put into its node_modules, or nothing of it when npm did not run.
"""

import pathlib
import sys

TYPES = {
    ".css": "text/css; charset=utf-8",
    ".html": "text/html; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".json": "application/json",
    ".svg": "image/svg+xml",
    ".txt": "text/plain; charset=utf-8",
}

# Name in the program: path under node_modules.
LIBRARIES = {
    "uplot.js": "uplot/dist/uPlot.iife.min.js",
    "uplot.css": "uplot/dist/uPlot.min.css",
    "uplot-license.txt": "uplot/LICENSE",
}

HEAD = """// Made by embed.py.
#include "app/assets.h"

#include <algorithm>
#include <array>

namespace lictor {
namespace {

using namespace std::string_view_literals;

constexpr auto kAssets = std::to_array<Asset>({
"""

TAIL = """});

}  // namespace

const Asset* find_asset(std::string_view name) {
  const auto* const found =
      std::find_if(kAssets.begin(), kAssets.end(), [name](const Asset& asset) { return asset.name == name; });
  return found == kAssets.end() ? nullptr : found;
}

}  // namespace lictor
"""


def byte(value):
    char = chr(value)
    if char in '"\\?':
        return "\\" + char
    return char if 32 <= value < 127 else f"\\{value:03o}"


def literal(data):
    """A C++ literal of any bytes, a line of the file a line."""
    lines = data.splitlines(keepends=True) or [b""]
    pieces = [line[i : i + 4000] for line in lines for i in range(0, len(line), 4000)] or [b""]
    return "\n".join(f'     "{"".join(map(byte, piece))}"' for piece in pieces) + "sv"


def dashboard_files(folder):
    """{name: path}, and the paths that this looked for."""
    own = sorted(path for path in folder.iterdir() if path.suffix in (".css", ".html", ".js", ".svg"))
    own = [path for path in own if not path.name.endswith(".config.js")]
    modules = {name: folder / "node_modules" / path for name, path in LIBRARIES.items()}
    asked = [*own, *modules.values()]
    if not all(path.exists() for path in modules.values()):
        print(f"lictor: the dashboard is left out of this build: no npm packages in {folder}; scripts/setup brings them")
        return {}, asked
    return {**{path.name: path for path in own}, **modules}, asked


def main(out, depfile, dashboard, *files):
    found, asked = dashboard_files(pathlib.Path(dashboard))
    files = {pathlib.Path(file).name: pathlib.Path(file) for file in files} | found
    entries = []
    for name, path in sorted(files.items()):
        entries.append(f'    {{"{name}", "{TYPES[pathlib.Path(name).suffix]}",\n{literal(path.read_bytes())}}},\n')
    text = HEAD + "".join(entries) + TAIL
    target = pathlib.Path(out)
    # An unchanged file is not compiled again.
    if not target.exists() or target.read_text() != text:
        target.write_text(text)
    # A file that is not there yet makes this run again with every build, until it is.
    pathlib.Path(depfile).write_text(f"{out}: {dashboard} {' '.join(map(str, asked))}\n")


if __name__ == "__main__":
    main(*sys.argv[1:])
