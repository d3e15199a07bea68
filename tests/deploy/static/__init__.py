"""Reads what would be applied to a cluster, without one."""
