"""Static endpoints that are names."""

from harness.documents import all_to
from harness.wait import eventually


def documents(*addresses):
    return {"routes/all": all_to("web"), "upstreams/web": {"endpoints": [{"address": address} for address in addresses]}}


def test_a_name_is_resolved(make):
    backend = make.backend("a")
    gateway = make.gateway(documents(f"localhost:{backend.port}"))
    eventually(lambda: gateway.get("/").status, 200)
    instances = gateway.admin.upstream("web")["instances"]
    assert {one["address"] for one in instances} == {f"localhost:{backend.port}"}
    assert f"127.0.0.1:{backend.port}" in {one["id"] for one in instances}


def test_a_name_that_has_no_address_is_there_and_out_of_use(make):
    backend = make.backend("a")
    gateway = make.gateway(documents("nowhere.invalid:80", backend.address))
    unknown = gateway.admin.instance("web", "nowhere.invalid:80")
    assert (unknown["usable"], unknown["id"]) == (False, "nowhere.invalid:80")
    assert [gateway.get("/").status for _ in range(5)] == [200] * 5
