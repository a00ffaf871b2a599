"""Things to look at: a small shop with a bit of everything, and a crowd of services."""

from .fake_consul import entry

HOSTILE = '<img src=x onerror="document.title=\'taken\'">'
NAMES = ("user-1", "user-2", "user-3", "order-1", "order-2", "cart-1", "cart-next-1", "search-1", "search-2")


def open_shop(make, fake):
    """A small shop: a split, a service in trouble, one that nobody serves, documents that are wrong."""
    backends = {name: make.backend(name) for name in NAMES}

    def entries(service, **more):
        return [entry(name, one.port, service, **more.get(name.replace("-", "_"), {})) for name, one in backends.items() if name.rstrip("-0123456789") == service.removesuffix("-service")]

    fake.set_instances("user-service", *entries("user-service", user_2={"status": "warning", "tags": ("v1", HOSTILE)}))
    fake.set_instances("order-service", *entries("order-service", order_2={"status": "critical"}))
    fake.set_instances("cart", *entries("cart"))
    fake.set_instances("cart-next", *entries("cart-next"))
    fake.set_instances("search", *entries("search"))
    fake.put("routes/users", {"hosts": ["api.example.com"], "path": "/users/*", "service": "user-service"})
    fake.put("routes/orders", {"hosts": ["api.example.com"], "path": "/orders/{id}", "methods": ["GET", "POST"], "service": "order-service"})
    fake.put("routes/cart", {"path": "/cart/*", "backends": [{"service": "cart", "weight": 90}, {"service": "cart-next", "weight": 10}]})
    fake.put("routes/search", {"path": "/search", "service": "search"})
    fake.put("routes/legacy", {"path": "/legacy/*", "service": "legacy"})
    fake.put("routes/home", {"path": "/", "filters": [{"redirect": {"path": "/search"}}]})
    fake.put("routes/broken", {"path": "/broken", "servce": "search"})
    return backends


def crowd(number):
    documents = {}
    for i in range(number):
        name = f"service-{i:03}"
        documents[f"routes/{name}"] = {"hosts": [f"{name}.example.com"], "path": "/*", "service": name}
        documents[f"upstreams/{name}"] = {"endpoints": [{"address": f"10.{i // 250}.{i % 250}.{j}:80"} for j in range(1, 2 + i % 7)]}
    return documents
