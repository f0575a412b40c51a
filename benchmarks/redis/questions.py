"""The questions about the Redis store, in the order in which they are asked."""

from benchmarks.redis import backlog, batch, commands, consume, latency, publish, tasks

QUESTIONS = (publish, batch, consume, latency, tasks, commands, backlog)
