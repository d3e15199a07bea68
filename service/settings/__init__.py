"""Holds the settings: declared in `tree`, checked in `rules`, read in `environment`."""
