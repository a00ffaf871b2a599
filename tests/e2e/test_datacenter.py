"""Backends of another datacenter, on the scripted Consul."""

from harness.wait import eventually


def test_a_service_of_another_datacenter_is_asked_for_there(make, fake):
    fake.put("routes/all", {"path": "/*", "backends": [{"service": "web", "datacenter": "dc2"}]})
    fake.set_backends("web", make.backend("a"))
    gateway = make.gateway_on(fake)
    assert gateway.get("/").status == 200
    assert {query.params.get("dc") for query in fake.asked("health/web")} == {"dc2"}
    assert gateway.admin.upstream("web@dc2")["instances"]


def test_the_same_service_of_two_datacenters_is_two_upstreams(make, fake):
    fake.put("routes/all", {"path": "/*", "backends": [{"service": "web"}, {"service": "web", "datacenter": "dc2"}]})
    fake.set_backends("web", make.backend("a"))
    make.gateway_on(fake)
    eventually(lambda: {query.params.get("dc") for query in fake.asked("health/web")}, {None, "dc2"})
