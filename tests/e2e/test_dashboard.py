"""The dashboard in a real browser: Debian's Chromium."""

import pytest

from harness.browser import Browser
from harness.documents import all_to, endpoints
from harness.load import Load, tally
from harness.shop import HOSTILE, crowd, open_shop
from harness.wait import eventually


@pytest.fixture(scope="module")
def browser(make_once):
    return make_once.keep(Browser())


@pytest.fixture
def shop(make, fake):
    open_shop(make, fake)
    return make.gateway_on(fake)


@pytest.fixture
def one(make):
    backend = make.backend("web-1")
    return make.gateway({"routes/all": all_to("web"), "upstreams/web": endpoints(backend)})


def test_it_loads_and_tells_how_things_are(browser, shop):
    browser.open(shop)
    browser.see("#state", "ready")
    browser.see("#live", "live")
    browser.see("#facts", "revision")
    browser.see("#routes", "users")
    browser.see("#upstreams", "order-service")
    browser.see("#consul", "connected")
    browser.assert_quiet()


def test_traffic_shows_while_it_flows(browser, one):
    browser.open(one)
    with Load(one.address) as load:
        eventually(lambda: browser.evaluate("parseFloat(document.querySelector('#vitals dd').textContent)"), lambda rate: rate >= 1, within=20)
        browser.see("#rates-legend", "requests")
        assert browser.count(".plot canvas") == 2
        rate = "document.querySelector('#routes .rate').textContent"
        eventually(lambda: browser.evaluate(rate), lambda text: text not in ("0/s", "–/s"), within=20)
    load.assert_no_failures()
    browser.assert_quiet()


def test_a_page_just_opened_has_the_minutes_before(browser, one):
    tally(one.address, 50)
    eventually(lambda: one.admin.json("/v1/stats")["window"]["requests"], 50, within=3)
    browser.open(one)
    average = "document.querySelector('#vitals .average').textContent"
    eventually(lambda: browser.evaluate(average), lambda text: not text.endswith(": 0"), within=3)


def test_changes_show_live(browser, make, fake, shop):
    browser.open(shop)
    browser.see("#live", "live")
    browser.see("#routes", "users")
    fake.put("routes/fresh", {"path": "/fresh", "service": "search"})
    browser.see("#routes", "fresh")
    browser.see("#events", "lictor/routes/fresh")
    fake.set_backends("search", make.backend("search-9"))
    browser.see("#events", "search: search-9 added")
    fake.delete("routes/fresh")
    browser.gone("#routes li", "fresh")
    browser.assert_quiet()


def test_eject_and_restore_with_confirmation(browser, shop):
    browser.open(shop)
    browser.see("#upstreams", "search")
    browser.click("Expand all")
    browser.click("Eject search-1 of search")
    browser.see("dialog", "Eject search-1?")
    browser.click("Cancel", within="dialog")
    instance = shop.admin.upstream("search")["instances"][0]
    assert not instance["ejected"]
    browser.click("Eject search-1 of search")
    browser.click("Eject", within="dialog")
    browser.see("#upstreams .instance", "ejected until restored")
    assert shop.admin.instance("search", instance["address"])["ejected"]
    browser.see("#attention", "search search-1")
    browser.click("Restore search-1 of search")
    browser.click("Restore", within="dialog")
    eventually(lambda: shop.admin.instance("search", instance["address"])["ejected"], False)
    browser.gone("#attention li", "search search-1")
    browser.assert_quiet()


def test_what_is_wrong_is_said_on_top(browser, shop):
    browser.open(shop)
    browser.see("#attention", 'lictor/routes/broken is rejected: $.servce: unknown key (did you mean "service"?)')
    browser.see("#attention", "No usable instance: legacy")
    browser.see("#documents", "1 of 7 documents not as they should be")
    browser.assert_quiet()


def test_explaining_a_request(browser, shop):
    browser.open(shop)
    browser.fill("Method", "POST")
    browser.fill("URL", "http://api.example.com/orders/7")
    browser.click("Explain")
    browser.see("#explanation", "orders")
    browser.see("#explanation", "order-service, weight 1, 1 of 2 instances usable")
    browser.fill("Method", "DELETE")
    browser.do("press", key="Enter")
    browser.see("#explanation", "No route takes it: 405. Allowed: GET, POST.")
    browser.fill("URL", "nonsense")
    browser.do("press", key="Enter")
    browser.gone("#explanation", "405")
    browser.assert_quiet(expected=["status of 400"])


def test_what_others_wrote_is_text_and_nothing_else(browser, shop):
    browser.open(shop)
    browser.see("#upstreams", "user-service")
    browser.click("Expand all")
    browser.see("#upstreams .details", HOSTILE)
    assert browser.count("#upstreams img") == 0
    assert browser.evaluate("document.title") == "lictor"
    browser.assert_quiet()


def test_the_token_is_asked_for_and_kept_in_the_tab(browser, make, tmp_path):
    token = tmp_path / "token"
    token.write_text("s3cret\n")
    gateway = make.gateway({}, admin={"address": "127.0.0.1:0", "token_file": str(token)})
    browser.open(gateway)
    browser.see("dialog", "Who is asking?")
    browser.fill("Token", "wrong")
    browser.click("Continue")
    browser.see("dialog", "That token was not accepted")
    browser.fill("Token", "s3cret")
    browser.click("Continue")
    browser.see("#state", "ready")
    browser.see("#live", "live")
    assert browser.evaluate("sessionStorage.getItem('lictor-token')") == "s3cret"
    assert browser.evaluate("localStorage.length + document.cookie.length") == 0
    browser.assert_quiet(expected=["status of 401"])


def test_draining_is_confirmed_and_seen_to_its_end(browser, make):
    gateway = make.gateway({}, drain={"lead": "1s", "timeout": "5s"})
    browser.open(gateway)
    browser.see("#state", "ready")
    browser.click("Drain…")
    browser.see("dialog", "There is no way back")
    browser.click("Drain", within="dialog")
    browser.see("#state", "draining")
    browser.see("#attention", "will end")
    assert gateway.wait() == 0
    browser.see("#away", "does not answer")


@pytest.fixture(scope="module")
def many(make_once):
    return make_once.gateway(crowd(500))


def test_500_upstreams_are_searched_sorted_and_shown_in_parts(browser, many):
    browser.open(many)
    browser.see("#flow-count", "500 routes, 500 upstreams")
    assert browser.count("#upstreams > li") == 60
    browser.click("Show 60 more of 440", within="#flow")
    eventually(lambda: browser.count("#routes > li"), 120)
    browser.fill("Search", "service-49 10.1.")
    eventually(lambda: browser.count("#upstreams > li"), 10)
    assert browser.evaluate("document.querySelector('#upstreams strong').textContent") == "service-490"
    browser.fill("Search", "10.1.245.1:80")
    eventually(lambda: browser.count("#routes > li"), 1)
    browser.assert_quiet()


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize(("width", "height"), [(360, 780), (1440, 900), (3840, 2160)])
def test_everybody_can_use_it(browser, shop, scheme, width, height):
    browser.open(shop, scheme=scheme, width=width, height=height)
    browser.see("#attention", "legacy")
    browser.see("#consul", "connected")
    browser.click("Expand all")
    browser.see("#upstreams .instance", "user-2")
    assert browser.do("axe") == []
    assert browser.evaluate("document.documentElement.scrollWidth") <= width, "it scrolls sideways"
    browser.click("Eject search-1 of search")
    browser.see("dialog", "Eject search-1?")
    assert browser.do("axe") == []
    browser.do("press", key="Escape")
    browser.gone("dialog", "Eject search-1?")
    browser.assert_quiet()
