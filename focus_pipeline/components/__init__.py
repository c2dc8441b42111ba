"""The Dagster layer: what a connection's YAML becomes. Thin; the work is done by `pipeline` and `connections`."""
