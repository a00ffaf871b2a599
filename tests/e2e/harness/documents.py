"""Documents that many tests need."""


def endpoints(*targets, **policy):
    """An upstream with static endpoints: backends, or (backend, weight)."""
    pairs = [target if isinstance(target, tuple) else (target, 1) for target in targets]
    return {"endpoints": [{"address": backend.address, "weight": weight} for backend, weight in pairs], **policy}


def all_to(service, **more):
    """A route for everything."""
    return {"path": "/*", "service": service, **more}


def one_upstream(*targets, route=None, **policy):
    """Documents that send everything to these targets, as service "web" by route "all"."""
    return {"routes/all": all_to("web", **(route or {})), "upstreams/web": endpoints(*targets, **policy)}
