"""Speaks to RabbitMQ: deliveries in, results and dead letters out."""
