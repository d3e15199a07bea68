"""Imports item events from RabbitMQ into one Bitrix24 portal."""

__version__ = "0.1.0"
