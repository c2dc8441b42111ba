"""A copy of the project as a user's clone would be, with connections of its own."""

import os
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import dagster as dg
import yaml

REPOSITORY = Path(__file__).resolve().parents[2]


@dataclass(frozen=True)
class Project:
    """root: the clone. Its data and Dagster storage are below it."""

    root: Path

    @property
    def data_dir(self) -> Path:
        return self.root / "data"

    @property
    def environment(self) -> dict[str, str]:
        """For processes that run in this clone instead of the installed package."""
        # Bytecode is kept, as it is by default: without it every run compiles the project again.
        dropped = ("FOCUS_", "DAGSTER_", "PYTHONDONTWRITEBYTECODE")
        kept = {key: value for key, value in os.environ.items() if not key.startswith(dropped)}
        return kept | {
            "PYTHONPATH": str(self.root),
            "DAGSTER_HOME": str(self.root / ".dagster"),
            "VIRTUAL_ENV": str(REPOSITORY / ".venv"),
            "PATH": f"{REPOSITORY / '.venv' / 'bin'}{os.pathsep}{os.environ['PATH']}",
        }


def clone_with_demo(root: Path) -> Project:
    """Copies the project to `root` as a newcomer has it, with the packages of this one."""
    root.mkdir(parents=True)
    for name in ("pyproject.toml", "requirements.lock", "workspace.yaml", "dagster.yaml", "Makefile"):
        shutil.copy2(REPOSITORY / name, root)
    shutil.copytree(
        REPOSITORY / "focus_pipeline", root / "focus_pipeline", ignore=shutil.ignore_patterns("__pycache__")
    )
    (root / ".venv").symlink_to(REPOSITORY / ".venv")
    return Project(root)


def clone_project(root: Path, connections: Mapping[str, Mapping[str, object]]) -> Project:
    """Copies the project to `root`, without the demo; `connections`: name -> further attributes of a MonthFolders."""
    root.mkdir(parents=True)
    for name in ("pyproject.toml", "workspace.yaml", "dagster.yaml"):
        shutil.copy(REPOSITORY / name, root)
    shutil.copytree(
        REPOSITORY / "focus_pipeline", root / "focus_pipeline", ignore=shutil.ignore_patterns("__pycache__", "demo")
    )
    for name, attributes in connections.items():
        folder = root / "focus_pipeline" / "defs" / name
        folder.mkdir()
        given = {"name": name, "quiet_minutes": 0, **attributes}
        content = {"type": "focus_pipeline.MonthFolders", "attributes": given}
        (folder / "defs.yaml").write_text(yaml.safe_dump(content))
    (root / ".dagster").mkdir(mode=0o700)  # as `make setup` does
    shutil.copy(root / "dagster.yaml", root / ".dagster")
    with dg.DagsterInstance.from_config(str(root / ".dagster")):
        pass  # makes its databases, for two processes that do so at once get into each other's way
    return Project(root)
