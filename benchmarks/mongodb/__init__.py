"""Benchmarks of the MongoDB store, compared with Kombu's own MongoDB transport."""
