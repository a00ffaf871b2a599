"""As much of JSON Schema as /v1/openapi.json uses. A keyword that it does not know fails."""

import math

TYPES = {"string": str, "array": list, "object": dict, "boolean": bool, "null": type(None), "number": (int, float), "integer": int}
REMARKS = {"description", "format"}


def is_a(value, name):
    if name in ("number", "integer") and isinstance(value, bool):
        return False
    return isinstance(value, TYPES[name]) and not (isinstance(value, float) and not math.isfinite(value))


def problems_of(value, schema, document, path="$"):
    """What is wrong with the value, as texts."""
    found = []
    for keyword, wanted in schema.items():
        if keyword not in REMARKS:
            found += CHECKS[keyword](value, wanted, schema, document, path)
    return found


def check_ref(value, wanted, schema, document, path):
    target = document
    for part in wanted.removeprefix("#/").split("/"):
        target = target[part]
    return problems_of(value, target, document, path)


def check_type(value, wanted, schema, document, path):
    names = wanted if isinstance(wanted, list) else [wanted]
    return [] if any(is_a(value, name) for name in names) else [f"{path}: {value!r} is no {wanted}"]


def check_properties(value, wanted, schema, document, path):
    if not isinstance(value, dict):
        return []
    return [problem for key in value if key in wanted for problem in problems_of(value[key], wanted[key], document, f"{path}.{key}")]


def check_additional(value, wanted, schema, document, path):
    if not isinstance(value, dict):
        return []
    more = [key for key in value if key not in schema.get("properties", {})]
    if wanted is False:
        return [f"{path}.{key} is not declared" for key in more]
    return [problem for key in more for problem in problems_of(value[key], wanted, document, f"{path}.{key}")]


def check_required(value, wanted, schema, document, path):
    return [f"{path}.{key} is missing" for key in wanted if isinstance(value, dict) and key not in value]


def check_items(value, wanted, schema, document, path):
    if not isinstance(value, list):
        return []
    return [problem for i, item in enumerate(value) for problem in problems_of(item, wanted, document, f"{path}[{i}]")]


def check_one_of(value, wanted, schema, document, path):
    good = [one for one in wanted if not problems_of(value, one, document, path)]
    return [] if len(good) == 1 else [f"{path}: {len(good)} of oneOf fit: {[problems_of(value, one, document, path) for one in wanted]}"]


def check_all_of(value, wanted, schema, document, path):
    return [problem for one in wanted for problem in problems_of(value, one, document, path)]


def compare(good, words):
    return lambda value, wanted, schema, document, path: [] if value is None or good(value, wanted) else [f"{path}: {value!r} {words} {wanted!r}"]


CHECKS = {
    "$ref": check_ref,
    "type": check_type,
    "properties": check_properties,
    "additionalProperties": check_additional,
    "required": check_required,
    "items": check_items,
    "oneOf": check_one_of,
    "allOf": check_all_of,
    "enum": compare(lambda value, wanted: value in wanted, "is none of"),
    "const": compare(lambda value, wanted: value == wanted, "is not"),
    "minimum": compare(lambda value, wanted: value >= wanted, "is under"),
    "maximum": compare(lambda value, wanted: value <= wanted, "is over"),
}
