"""Holds the tests of the process as a black box: real broker, simulated portal, queues."""
