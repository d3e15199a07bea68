"""Measures the importer side by side with what else could do its job; `make bench` runs it."""
