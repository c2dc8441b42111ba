"""What users edit: a folder with a `defs.yaml` per connection, and the unified assets in `focus/`."""
