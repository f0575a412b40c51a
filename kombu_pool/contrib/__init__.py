"""What applications of Celery may use beside the transport."""
