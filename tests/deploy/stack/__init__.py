"""Plays pods and the demo's services beside a real broker, and hurts them (tier 6)."""
