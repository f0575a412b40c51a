"""The questions about the Redis store; Kombu's own Redis transport and RabbitMQ are beside us."""
