"""Benchmarks of messages that have keys: cancelled, revoked, unique, and what a key costs."""
