"""mirror: a copy for another service, that the original never feels."""

import pytest

from harness.backend import Deaf, answer, hangs_up, never, resets
from harness.client import Client
from harness.documents import all_to, endpoints
from harness.wait import eventually, steadily


@pytest.fixture(scope="module")
def web(make_once):
    return make_once.backend("web")


@pytest.fixture(scope="module")
def shadow(make_once):
    return make_once.backend("shadow")


def documents(web, shadow, **how):
    return {
        "routes/all": all_to("web", filters=[{"mirror": {"service": "shadow", **how}}]),
        "upstreams/web": endpoints(web),
        "upstreams/shadow": endpoints(shadow),
    }


@pytest.fixture(scope="module")
def gateway(make_once, web, shadow):
    return make_once.gateway(documents(web, shadow))


@pytest.fixture(autouse=True)
def fresh(web, shadow):
    yield
    web.clear()
    shadow.clear()


def dropped(gateway, reason):
    return gateway.admin.metrics().sum("lictor_mirror_dropped_total", route="all", reason=reason)


@pytest.mark.parametrize("body", [None, b"", b"hello", b"x" * 65536, [b"in ", b"chunks"]], ids=["none", "empty", "small", "64 KiB", "chunked"])
def test_the_copy_is_what_the_service_gets(gateway, web, shadow, body):
    assert gateway.request("POST", "/a?b=c", body=body, fields={"X-One": "1", "Expect": "100-continue"} if body else {"X-One": "1"}).body == b"web"
    eventually(lambda: shadow.hits, 1)
    original, copy = web.last, shadow.last
    assert (copy.method, copy.target, copy.body) == (original.method, original.target, original.body)
    assert copy.fields["x-lictor-mirror"] == "1" and "x-lictor-mirror" not in original.fields
    for name in ("host", "x-one", "x-forwarded-for", "x-request-id", "via"):
        assert copy.fields[name] == original.fields[name]
    assert "expect" not in copy.fields


@pytest.mark.parametrize("handler", [answer(500), hangs_up, resets, never, answer(200, b"x" * 200_000)], ids=["fails", "hangs up", "resets", "is silent", "talks much"])
def test_whatever_the_copy_meets_the_original_is_answered(gateway, web, shadow, handler):
    shadow.default = handler
    with Client(gateway.address) as client:
        for _ in range(20):
            assert client.request("POST", "/", body=b"hello").body == b"web"
    assert web.hits == 20


def test_a_service_that_can_not_be_reached_delays_nobody(make, web):
    gateway = make.gateway(documents(web, make.keep(Deaf())))
    with Client(gateway.address, timeout=2) as client:
        for _ in range(400):
            assert client.get("/").status == 200
    assert dropped(gateway, "busy") >= 1  # 256 a worker may be under way
    assert web.hits == 400


def test_large_bodies_are_not_copied_and_counted(gateway, web, shadow):
    before = dropped(gateway, "body")
    for body in (b"x" * 65537, [b"x" * 40000, b"y" * 40000]):
        assert gateway.request("POST", "/", body=body).status == 200
    assert dropped(gateway, "body") == before + 2
    steadily(lambda: shadow.hits, 0, during=0.2)


def test_a_share_of_requests(make, web, shadow):
    gateway = make.gateway(documents(web, shadow, percent=25))
    with Client(gateway.address) as client:
        for _ in range(400):
            client.get("/")
    eventually(lambda: shadow.hits, lambda hits: 60 <= hits <= 140)


def test_a_client_that_breaks_off_leaves_no_copy(gateway, web, shadow):
    client = Client(gateway.address)
    client.send(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\nhello")
    eventually(lambda: web.started, 1)
    client.close()
    steadily(lambda: shadow.started, 0, during=0.2)
    web.violations.clear()


def test_the_copy_is_made_where_the_filter_stands(make, web, shadow):
    made = documents(web, shadow)
    made["routes/all"]["filters"] = [{"request_headers": {"set": {"X-Before": "1"}}}, *made["routes/all"]["filters"], {"request_headers": {"set": {"X-After": "1"}}}]
    gateway = make.gateway(made)
    assert gateway.get("/").status == 200
    eventually(lambda: shadow.hits, 1)
    assert "x-before" in shadow.last.fields and "x-after" not in shadow.last.fields
    assert "x-before" in web.last.fields and "x-after" in web.last.fields
