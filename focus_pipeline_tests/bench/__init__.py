"""`make bench`: the figures of docs/figures.md, measured on this machine. Not tests: nothing fails by being slow."""
