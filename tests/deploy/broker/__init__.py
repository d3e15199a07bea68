"""Gives what is deployed to a broker to a real one."""
