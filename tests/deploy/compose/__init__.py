"""Reads the demo's compose file as its users' programs would."""
