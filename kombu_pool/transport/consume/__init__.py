"""The half of a channel that consumes, and the threads that claim, renew and settle for it."""
