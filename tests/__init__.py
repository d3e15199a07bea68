"""Holds every test of the importer and the simulated portal they run against."""
