"""Holds the tests of what is pure in speaking to the portal, and a portal that is a script."""
