"""Proves what is deployed: manifests, rules, dashboards, the image."""
