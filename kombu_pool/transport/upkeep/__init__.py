"""What a process does for all its connections: maintenance, dead letters, and the control store's epoch."""
