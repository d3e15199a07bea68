"""Proves that every overlay and every component keeps the policies, and that these can fail."""

import inspect

import pytest

from tests.deploy.static import configuration, mutations, operators, pods, wiring
from tests.deploy.static.manifests import COMPONENTS, MIXTURES, NOT_TOGETHER, OVERLAYS, render
from tests.deploy.static.mutations import Break, Policy

# A mixture is no overlay: nobody has chosen its image.
APPLIED = [
    (name, policy)
    for name in (*OVERLAYS, *MIXTURES)
    for policy in mutations.BREAKS
    if name in OVERLAYS or policy is not pods.images_are_chosen
]


@pytest.mark.parametrize(
    ("name", "policy"), APPLIED, ids=[f"{name}-{policy.__name__}" for name, policy in APPLIED]
)
def test_what_is_applied_keeps_the_policies(name: str, policy: Policy) -> None:
    """Overlays, and the base with one component or nearly all, are without fault."""
    assert [] == list(policy(render(name)))


@pytest.mark.parametrize("change", mutations.EVERY, ids=[each.label for each in mutations.EVERY])
def test_a_policy_sees_what_breaks_it(change: Break) -> None:
    """One change to what was without fault is reported."""
    assert [] != list(change.policy(change.spoil()))


def test_every_policy_is_applied() -> None:
    """A policy that is written and not listed judges nothing."""
    written = {
        function
        for module in (configuration, operators, pods, wiring)
        for name, function in inspect.getmembers(module, inspect.isgeneratorfunction)
        if not name.startswith("_") and function.__module__ == module.__name__
    }
    assert written == set(mutations.BREAKS)


def test_a_standby_is_never_scaled_to_zero() -> None:
    """The two components contradict each other: no overlay takes both, and both say so."""
    for name in OVERLAYS:
        kinds = {each["kind"] for each in render(name).manifests}
        assert not {"PodDisruptionBudget", "ScaledObject"} <= kinds
    assert set(COMPONENTS) >= NOT_TOGETHER
