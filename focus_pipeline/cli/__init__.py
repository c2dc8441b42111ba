"""The command `focus-pipeline`: connections, their status, files, the warehouse and the demo."""

from focus_pipeline.cli import connections, demo, files, report, status, warehouse
from focus_pipeline.cli.command import main

__all__ = ["connections", "demo", "files", "main", "report", "status", "warehouse"]
