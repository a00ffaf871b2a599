"""A headless Chromium, driven through tests/e2e/browser/driver.mjs."""

import json
import os
import shutil
import subprocess

from .lictor import ROOT
from .wait import scaled

DRIVER = ROOT / "tests/e2e/browser/driver.mjs"
DASHBOARD = ROOT / "src/app/dashboard"


class Browser:
    def __init__(self):
        chromium = os.environ.get("CHROMIUM_BIN") or shutil.which("chromium")
        assert chromium and shutil.which("node"), "chromium or node is missing: run scripts/setup"
        assert (DASHBOARD / "node_modules/playwright-core").exists(), f"no npm packages in {DASHBOARD}: run scripts/setup"
        self.process = subprocess.Popen(
            ["node", DRIVER],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env={**os.environ, "BROWSER_TIMEOUT_MS": str(int(scaled(8) * 1000))},
        )
        self.name = "the browser"
        self.version = self.do("launch", executable=chromium)

    def do(self, op, **how):
        self.process.stdin.write(json.dumps({"op": op, **how}) + "\n")
        self.process.stdin.flush()
        line = self.process.stdout.readline()
        assert line, f"the browser's driver ended at {op} {how}"
        answer = json.loads(line)
        assert "error" not in answer, f"{op} {how}: {answer['error']}"
        return answer["value"]

    def open(self, gateway, path="/", **how):
        self.origin = f"http://{gateway.admin.address[0]}:{gateway.admin.address[1]}"
        self.do("open", url=self.origin + path, **how)

    def see(self, selector, text):
        self.do("see", selector=selector, text=text)

    def gone(self, selector, text):
        self.do("gone", selector=selector, text=text)

    def click(self, name, role="button", within="body"):
        self.do("click", role=role, name=name, within=within)

    def fill(self, label, value):
        self.do("fill", label=label, value=value)

    def evaluate(self, script):
        return self.do("evaluate", script=script)

    def count(self, selector):
        return self.evaluate(f"document.querySelectorAll({json.dumps(selector)}).length")

    def assert_quiet(self, expected=()):
        """No errors, no warnings, and nothing asked of anybody but the admin port."""
        seen = self.do("seen")
        assert [error for error in seen["errors"] if not any(one in error for one in expected)] == []
        assert seen["origins"] == [self.origin]

    def stop(self):
        if self.process.poll() is None:
            self.process.stdin.close()
            self.process.wait(timeout=scaled(10))
