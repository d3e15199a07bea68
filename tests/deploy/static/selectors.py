"""Finds every selector of pods in what is rendered."""

from collections.abc import Iterator, Mapping
from typing import Any

from tests.deploy.static.manifests import Rendered


def of(rendered: Rendered) -> Iterator[tuple[str, Mapping[str, str]]]:
    """Yield whose each selector is, and the labels that it asks for."""
    places: dict[str, Any] = {
        "Deployment": lambda spec: spec["selector"]["matchLabels"],
        "Service": lambda spec: spec["selector"],
        "PodDisruptionBudget": lambda spec: spec["selector"]["matchLabels"],
        "PodMonitor": lambda spec: spec["selector"]["matchLabels"],
        "NetworkPolicy": lambda spec: spec["podSelector"]["matchLabels"],
    }
    for each in rendered.all(*places):
        yield f"{each['kind']} {each['metadata']['name']}", places[each["kind"]](each["spec"])
    for spread in rendered.pod.get("topologySpreadConstraints", []):
        yield "the spread", spread["labelSelector"]["matchLabels"]
