"""Tells what happens: metrics and logs."""
