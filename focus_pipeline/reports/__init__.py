"""What `focus-pipeline validate` says: on the terminal, for programs, for CI, and as a page."""
