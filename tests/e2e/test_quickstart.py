"""The first command a new user types."""

import subprocess

import pytest

from harness.consul import find_consul
from harness.lictor import ROOT, environment


@pytest.mark.slow
def test_the_quick_start_shows_requests_flowing():
    result = subprocess.run([ROOT / "scripts" / "quickstart", "--check"], capture_output=True, text=True, timeout=300, env=environment(CONSUL_BIN=find_consul()))
    assert result.returncode == 0, result.stdout + result.stderr
