"""Holds the tests that need neither a network nor a neighbour."""
