"""Decides: pure rules of batching, claims, pacing, pausing and outcomes; no I/O, no clock."""
