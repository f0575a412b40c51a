"""The benchmarks of the MongoDB store, in the order of a run."""

from benchmarks.mongodb import backlog, batch, claimers, consume, latency, publish, tasks

QUESTIONS = (publish, batch, consume, latency, tasks, backlog, claimers)
