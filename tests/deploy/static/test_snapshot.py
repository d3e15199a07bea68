"""Proves that nobody changes what production gets without seeing it."""

from tests.deploy.static import snapshot


def test_production_is_what_was_reviewed() -> None:
    """`python -m tests.deploy.static` writes the file anew."""
    assert snapshot.kept() == snapshot.manifests()
