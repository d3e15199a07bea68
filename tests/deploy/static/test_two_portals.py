"""Proves that two portals in one namespace share nothing, and neither refers to the other."""

from collections.abc import Iterator, Mapping
from functools import cache
from typing import Any

import pytest

from tests.deploy.static import selectors
from tests.deploy.static.manifests import INSTANCE, ONCE, OVERLAYS, Rendered, alone, portal, render

PORTALS = ("acme", "beta")


@cache
def both() -> dict[str, Rendered]:
    """Return each portal with every component."""
    return {name: portal(name) for name in PORTALS}


def test_no_two_manifests_have_one_name() -> None:
    """Else the second would replace the first."""
    first, second = ({_called(each) for each in both()[name].manifests} for name in PORTALS)
    assert set() == first & second


@pytest.mark.parametrize("name", PORTALS)
def test_every_selector_chooses_pods_of_its_own_portal_alone(name: str) -> None:
    """Pods, network rules, disruption budgets, scrapes."""
    (other,) = set(PORTALS) - {name}
    theirs = [labels for _, labels in both()[other].workloads()]
    for owner, selector in selectors.of(both()[name]):
        assert name == selector.get(INSTANCE), owner
        assert not any(selector.items() <= labels.items() for labels in theirs), owner


@pytest.mark.parametrize("name", PORTALS)
def test_every_secret_and_every_reference_is_its_own(name: str) -> None:
    """What one portal names, the other does not: its vault's entry, its scaler, its user."""
    (other,) = set(PORTALS) - {name}
    mine, theirs = (set(_references(both()[each])) for each in (name, other))
    assert {f"-{name}"} == {reference[-len(name) - 1 :] for _, reference in mine}
    assert set() == mine & theirs
    kinds = {kind for kind, _ in mine}
    assert {
        "Deployment/secret/secretName",
        "CronJob/secret/secretName",
        "Job/secret/secretName",
        "ExternalSecret/target/name",
        "ExternalSecret/extract/key",
        "TriggerAuthentication/secretTargetRef/name",
        "ScaledObject/scaleTargetRef/name",
        "ScaledObject/authenticationRef/name",
        "Permission/userReference/name",
        "User/importCredentialsSecret/name",
    } == kinds


@pytest.mark.parametrize("name", PORTALS)
def test_what_is_referred_to_is_there(name: str) -> None:
    """A renamed manifest is found under its new name."""
    names = {_called(each) for each in both()[name].manifests}
    for kind, reference in _references(both()[name]):
        wanted = {
            "ScaledObject/scaleTargetRef/name": "Deployment",
            "ScaledObject/authenticationRef/name": "TriggerAuthentication",
            "Permission/userReference/name": "User",
        }.get(kind)
        assert wanted is None or (wanted, reference) in names


@pytest.mark.parametrize("name", PORTALS)
def test_everything_on_the_broker_is_in_its_own_virtual_host(name: str) -> None:
    """Exchanges, queues and rights have the same names; the scaler counts there alone."""
    rendered = both()[name]
    made = rendered.all("Exchange", "Queue", "Binding", "Permission")
    assert {name} == {each["spec"]["vhost"] for each in made}
    [scaled] = rendered.all("ScaledObject")
    assert {name} == {each["metadata"]["vhostName"] for each in scaled["spec"]["triggers"]}


def test_portals_in_namespaces_of_their_own_share_no_entry_of_the_vault_and_no_job() -> None:
    """Names may be equal there; what lies outside the namespaces may not."""
    first, second = (portal(name, apart=True) for name in PORTALS)
    assert _called(first.deployment) == _called(second.deployment)
    for kind, place in (
        ("ExternalSecret", lambda each: each["spec"]["dataFrom"][0]["extract"]["key"]),
        ("Queue", lambda each: each["spec"]["vhost"]),
        ("PodMonitor", lambda each: each["spec"]["selector"]["matchLabels"][INSTANCE]),
    ):
        shared = set(map(place, first.all(kind))) & set(map(place, second.all(kind)))
        assert set() == shared, kind


def test_rules_are_applied_once_and_apart_from_every_portal() -> None:
    """A second copy would count twice: no portal brings them, and they need no portal."""
    assert ["PrometheusRule"] == [each["kind"] for each in alone(ONCE)]
    for rendered in (*both().values(), *map(render, OVERLAYS)):
        assert [] == rendered.all("PrometheusRule"), rendered.name


def _called(manifest: Mapping[str, Any]) -> tuple[str, str]:
    return manifest["kind"], manifest["metadata"]["name"]


def _references(rendered: Rendered) -> Iterator[tuple[str, str]]:
    """Return the places in which a manifest names another one, or a Secret, with the name."""
    wanted = {
        ("secret", "secretName"),
        ("target", "name"),
        ("extract", "key"),
        ("secretTargetRef", "name"),
        ("scaleTargetRef", "name"),
        ("authenticationRef", "name"),
        ("userReference", "name"),
        ("importCredentialsSecret", "name"),
    }
    for each in rendered.manifests:
        for parent, member, value in _leaves(each.get("spec", {}), ""):
            if (parent, member) in wanted:
                yield f"{each['kind']}/{parent}/{member}", value


def _leaves(value: object, parent: str) -> Iterator[tuple[str, str, str]]:
    """Return every text in a manifest, with the names of its member and of the one around it."""
    if isinstance(value, list):
        for each in value:
            yield from _leaves(each, parent)
    elif isinstance(value, dict):
        for name, inner in value.items():
            if isinstance(inner, str):
                yield parent, name, inner
            else:
                yield from _leaves(inner, name)
