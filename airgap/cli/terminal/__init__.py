"""What a person or a script sees, and what Ctrl-C does."""
