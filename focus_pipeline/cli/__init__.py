"""The command `focus-pipeline`: connections, files, the warehouse and the demo."""

from focus_pipeline.cli import connections, demo, files, warehouse
from focus_pipeline.cli.command import main

__all__ = ["connections", "demo", "files", "main", "warehouse"]
