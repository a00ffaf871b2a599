"""Patience with a limit. Tests never sleep for a result: they poll for it and fail with what they last saw."""

import os
import time

# A sanitizer build is several times slower; conftest.py sets this for one, LICTOR_TIME_SCALE overrides it.
_scale = float(os.environ.get("LICTOR_TIME_SCALE", "1"))


def set_time_scale(scale):
    global _scale
    if "LICTOR_TIME_SCALE" not in os.environ:
        _scale = scale


def scaled(seconds):
    return seconds * _scale


def eventually(probe, want=True, within=5.0, interval=0.01):
    """Calls probe() until it gives what is wanted, and returns that.

    want: True for anything truthy, a function for a condition on the value, else the value itself.
    An AssertionError or OSError out of the probe counts as "not yet".
    """
    deadline = time.monotonic() + scaled(within)
    while True:
        last = None
        try:
            last = probe()
            if _satisfied(last, want):
                return last
        except (AssertionError, OSError) as error:
            last = error
        if time.monotonic() >= deadline:
            wanted = getattr(want, "__name__", "a condition") if callable(want) else repr(want)
            raise AssertionError(f"not within {scaled(within):g} s: wanted {wanted}, last saw {last!r}")
        time.sleep(interval)


def steadily(probe, want=True, during=0.5, interval=0.02):
    """The opposite promise: probe() gives what is wanted all the time (for absence, which no event announces)."""
    deadline = time.monotonic() + during
    while time.monotonic() < deadline:
        value = probe()
        assert _satisfied(value, want), f"did not stay so: wanted {want!r}, saw {value!r}"
        time.sleep(interval)


def _satisfied(value, want):
    if want is True:
        return bool(value)
    return want(value) if callable(want) else value == want
