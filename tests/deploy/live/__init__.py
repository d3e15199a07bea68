"""Watches a real run through a real Prometheus (tier 3)."""
