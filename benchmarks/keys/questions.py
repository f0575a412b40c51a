"""The benchmarks of messages that have keys, in the order of a run."""

from benchmarks.keys import cancellation, cost, revocation, unique

QUESTIONS = (cancellation, revocation, unique, cost)
