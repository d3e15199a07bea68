"""Changes JSON without touching what stays: values keep their bytes."""

from collections.abc import Collection

import msgspec


def without(document: msgspec.Raw, names: Collection[str]) -> memoryview:
    """Return a JSON object without some of its members."""
    if not names:
        return memoryview(document)
    members = msgspec.json.decode(document, type=dict[str, msgspec.Raw])
    left = {name: value for name, value in members.items() if name not in names}
    return memoryview(msgspec.json.encode(left))
