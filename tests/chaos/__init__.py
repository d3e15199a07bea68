"""Holds the fault suite: whatever breaks, nothing is lost and nothing is imported twice."""
