"""How fast we are, and how frugal: one question a file, Kombu's own transports beside us in the same run.

``python -m benchmarks`` asks all of them, prints a table and writes ``docs/benchmarks.md``.
"""
