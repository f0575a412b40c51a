"""Moves queues from pool to pool: the steps of a move, and the pool of a queue that is moving."""
