"""Judges the operation log of a chaos run; knows nothing of the importer and of the suites.

`python -m tests.checker LOG...`. Its rules, and the format of a log: tests/checker/README.md.
"""
