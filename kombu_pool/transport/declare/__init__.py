"""The half of a channel that declares queues, exchanges and bindings."""
