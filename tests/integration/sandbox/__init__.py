"""Pins the simulated portal to what the documentation says of the real one."""
