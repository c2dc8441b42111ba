"""The command `focus-pipeline`: connections, their status, files, the warehouse, alerts and the demo."""

from focus_pipeline.cli import alerts, connections, demo, files, report, status, warehouse
from focus_pipeline.cli.command import main

__all__ = ["alerts", "connections", "demo", "files", "main", "report", "status", "warehouse"]
