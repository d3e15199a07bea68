"""Serves people at a terminal: one module or folder for each command."""
