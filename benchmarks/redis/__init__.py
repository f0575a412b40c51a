"""Benchmarks of the Redis store, compared with Kombu's own Redis transport and RabbitMQ."""
