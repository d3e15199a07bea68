"""Gathers what tests and the demo need around the importer: broker, processes, messages."""
