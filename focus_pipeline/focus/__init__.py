"""The FOCUS specification as data (the .toml files here), and the code that reads it."""
