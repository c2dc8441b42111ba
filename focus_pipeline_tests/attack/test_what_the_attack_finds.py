"""Faults that are planted into the pipeline, each found by the part of the attack that looks for its kind."""

import subprocess
import sys
from pathlib import Path

import pytest

# Name of the part -> a fault of the kind that it looks for, and what is said of it.
PLANTED = {
    "a row that is lost while a file is read": (
        "files",
        """
        from focus_pipeline.pipeline import parts
        written = parts.canonical_select
        parts.canonical_select = lambda *a, **k: f"SELECT * FROM ({written(*a, **k)}) WHERE BilledCost < 400"
        """,
        "accepted with other rows",
    ),
    "a manifest that stops every month": (
        "manifests",
        """
        from focus_pipeline.connections.manifests import BadManifest, ManifestReader
        read = ManifestReader.read
        def stopping(self, *a, **k):
            try:
                return read(self, *a, **k)
            except BadManifest as error:
                raise KeyError(str(error))
        ManifestReader.read = stopping
        """,
        "KeyError",
    ),
    "a manifest that is trusted with paths": (
        "manifests",
        """
        from focus_pipeline.connections.manifests import ManifestReader
        read = ManifestReader.read
        def trusting(self, item, *a, **k):
            open("/etc/passwd").close()
            return read(self, item, *a, **k)
        ManifestReader.read = trusting
        """,
        "outside of the root of the export it touched",
    ),
    "a month that is replaced in two transactions": (
        "kills",
        """
        from focus_pipeline.pipeline import publish
        replace_month = publish.replace_month
        def in_two(warehouse, connection, staged):
            connection.execute("DELETE FROM focus.cost_and_usage WHERE x_Month = $month", {"month": staged.month})
            return replace_month(warehouse, connection, staged)
        publish.replace_month = in_two
        """,
        "the table shows Shown(rows=0",
    ),
    "a warehouse file that is written where it is": (
        "kills",
        """
        from contextlib import contextmanager
        from focus_pipeline.warehouse.duckdb_file import DuckDBFile
        copied = DuckDBFile._copy
        @contextmanager
        def in_place(self):
            if self.path.exists():
                yield self.path
                return
            with copied(self) as copy:
                yield copy
        DuckDBFile._copy = in_place
        """,
        "a reader: focus_pipeline.warehouse.faults.WarehouseLocked",
    ),
}


@pytest.mark.slow
@pytest.mark.parametrize("fault", PLANTED)
def test_a_planted_fault_is_found(fault: str, compiled_rules: Path) -> None:
    part, planted, said = PLANTED[fault]
    lines = [line.removeprefix("        ") for line in planted.splitlines()]
    counts = {"files": 60, "manifests": 80, "kills": 10}
    arguments = [part, "--count", str(counts[part]), "--seed", "7", "--rules-cache", str(compiled_rules)]
    code = "\n".join(
        [*lines, "from focus_pipeline_tests.attack.__main__ import main", f"raise SystemExit(main({arguments}))"]
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 1, done.stdout + done.stderr
    assert said in done.stdout
