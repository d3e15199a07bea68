"""Keeps the commands behind the Makefile."""
