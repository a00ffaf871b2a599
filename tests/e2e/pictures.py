"""Takes the pictures of the dashboard that docs/dashboard.md shows.

  /usr/bin/python3 tests/e2e/pictures.py docs/images [SECONDS]     with traffic of so many seconds before
"""

import pathlib
import sys
import tempfile

from harness.backend import answer
from harness.browser import Browser
from harness.load import Load
from harness.shop import crowd, open_shop
from harness.wait import eventually

from conftest import Makers


class Folders:
    def mktemp(self, name):
        return pathlib.Path(tempfile.mkdtemp(prefix=name))


def take(make, folder, seconds):
    browser = make.keep(Browser())
    fake = make.fake()
    backends = open_shop(make, fake)
    gateway = make.gateway_on(fake)
    for name in ("user-1", "user-2", "user-3"):
        backends[name].on("/users/1", answer(delay=0.004))
    backends["search-2"].on("/search", answer(delay=0.05))
    backends["order-1"].on("/orders/7", answer(503))
    gateway.admin.order("eject", "search", "search-1")

    def picture(name, full=False, **how):
        browser.open(gateway, **how)
        browser.see("#attention", "legacy")
        eventually(lambda: browser.evaluate("document.querySelector('#routes .rate').textContent"), lambda rate: rate != "–/s", within=15)
        browser.do("screenshot", path=str(folder / f"dashboard-{name}.png"), full=full)

    api = {"host": "api.example.com"}
    with (
        Load(gateway.address, "/users/1", connections=3, pace=0.01, **api),
        Load(gateway.address, "/search", connections=1, pace=0.02),
        Load(gateway.address, "/cart/1", connections=1, pace=0.02),
        Load(gateway.address, "/orders/7", connections=1, pace=0.4, **api),
    ):
        eventually(lambda: gateway.admin.json("/v1/stats")["window"]["span_s"], lambda span: span > seconds, within=seconds + 20)
        picture("light", full=True, width=1440, height=900)
        picture("dark", full=True, width=1440, height=900, scheme="dark")
        picture("phone", width=360, height=780, scale=2)
        picture("4k", width=3840, height=2160)
    many = make.gateway(crowd(500))
    browser.open(many, width=1440, height=1000)
    browser.see("#flow-count", "500 routes")
    browser.evaluate("document.querySelector('#flow').scrollIntoView()")
    browser.do("screenshot", path=str(folder / "dashboard-500.png"))


def main(folder, seconds="60"):
    make = Makers(Folders())
    try:
        take(make, pathlib.Path(folder), int(seconds))
    finally:
        make.stop_all()


if __name__ == "__main__":
    main(*sys.argv[1:])
