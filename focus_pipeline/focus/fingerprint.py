"""A mark of the code and data that turn a delivered file into canonical rows and judge them."""

import hashlib
from functools import cache
from importlib import resources

import duckdb


def code_fingerprint(*more: str) -> str:
    """Changes when this package's data or SQL changes, with the steps that use them, with DuckDB, and with `more`."""
    return hashlib.sha256("\0".join([_own_sources(), *more]).encode()).hexdigest()[:20]


@cache
def _own_sources() -> str:
    digest = hashlib.sha256(duckdb.__version__.encode())
    for package in ("focus_pipeline.focus", "focus_pipeline.pipeline", "focus_pipeline.records"):
        for file in sorted(resources.files(package).iterdir(), key=lambda file: file.name):
            if file.name.endswith((".py", ".toml", ".sql")):
                digest.update(file.name.encode() + b"\0" + file.read_bytes())
    return digest.hexdigest()
