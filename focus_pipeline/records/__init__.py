"""What is kept on disk of a month beside its data, typed."""
