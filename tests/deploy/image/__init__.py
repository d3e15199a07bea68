"""Builds the real image and runs it as strictly as a cluster would (tier 5)."""
