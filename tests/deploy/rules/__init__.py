"""Runs the alert rules over made-up histories (tier 2)."""
