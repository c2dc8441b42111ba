"""A mark of the code and data that turn a delivered file into canonical rows and judge them."""

import ast
import hashlib
from functools import cache
from importlib import resources
from importlib.resources.abc import Traversable

import duckdb

READS_AND_JUDGES = (
    "focus",
    "limits.py",
    "pipeline/column_names.py",
    "pipeline/csv_files.py",
    "pipeline/csv_lines.py",
    "pipeline/duckdb_faults.py",
    "pipeline/examples.py",
    "pipeline/file_failures.py",
    "pipeline/judge.py",
    "pipeline/known_gaps.py",
    "pipeline/month_rule.py",
    "pipeline/parquet_files.py",
    "pipeline/parts.py",
    "pipeline/row_rules.py",
    "pipeline/source_counts.py",
    "pipeline/source_files.py",
    "pipeline/stage.py",
    "pipeline/staged_rows.py",
    "pipeline/verdict.py",
    "pipeline/zip_files.py",
    "records/staged.py",
    "records/verdicts.py",
    "sql.py",
)
"""The files and folders of this package that affect what is staged of a file, and what is found in it."""


def code_fingerprint(*more: str) -> str:
    """Changes with what reads and judges, with DuckDB, and with `more`; not with comments, docstrings or layout."""
    return hashlib.sha256("\0".join([_own_sources(), *more]).encode()).hexdigest()[:20]


@cache
def _own_sources() -> str:
    package = resources.files("focus_pipeline")
    digest = hashlib.sha256(duckdb.__version__.encode())
    for name in READS_AND_JUDGES:
        for file in _files(package.joinpath(name)):
            digest.update(file.name.encode() + b"\0" + _content(file))
    return digest.hexdigest()


def _files(place: Traversable) -> list[Traversable]:
    if place.is_file():
        return [place]
    found = (file for file in place.iterdir() if file.name.endswith((".py", ".toml", ".sql")))
    return sorted(found, key=lambda file: file.name)


def _content(file: Traversable) -> bytes:
    if not file.name.endswith(".py"):
        return file.read_bytes()
    tree = ast.parse(file.read_bytes())
    for node in ast.walk(tree):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef) and ast.get_docstring(node) is not None:
            node.body = node.body[1:]
    return ast.dump(tree).encode()
