"""Holds the tests of the pure rules, and the samples they are made of."""
