"""Judges the operation log of a chaos run; knows nothing of the importer and of the suites.

`python -m tests.checker LOG...`. The format of a log: tests/chaos/README.md.
"""
