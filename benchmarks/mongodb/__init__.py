"""The questions about the MongoDB store; Kombu's own MongoDB transport is beside us."""
