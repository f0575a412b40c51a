"""The questions about the MongoDB store, in the order in which they are asked."""

from benchmarks.mongodb import backlog, batch, claimers, consume, latency, publish, tasks

QUESTIONS = (publish, batch, consume, latency, tasks, backlog, claimers)
