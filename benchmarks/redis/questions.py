"""The benchmarks of the Redis store, in the order of a run."""

from benchmarks.redis import backlog, batch, commands, consume, latency, publish, tasks

QUESTIONS = (publish, batch, consume, latency, tasks, commands, backlog)
