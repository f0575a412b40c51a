"""The half of a channel that publishes."""
