"""Simulates a Bitrix24 portal, so that the importer meets a real one's habits in its tests."""

from tests.sandbox.faults import Fault
from tests.sandbox.portal import Portal
from tests.sandbox.server import running_portal
from tests.sandbox.settings import Settings

__all__ = ["Fault", "Portal", "Settings", "running_portal"]
