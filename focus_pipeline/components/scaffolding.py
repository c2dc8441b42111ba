"""`dg scaffold defs focus_pipeline.<Type> <name>`: writes a commented defs.yaml to fill in, and a mart's SQL."""

import re
from importlib import resources
from pathlib import Path

import dagster as dg


class ConnectionScaffolder(dg.Scaffolder):
    """Takes the template `<Type>.yaml` beside the components and puts the folder's name into it."""

    def scaffold(self, request: dg.ScaffoldRequest) -> None:
        component_type = request.type_name.rsplit(".", 1)[-1]
        name = _name(request.target_path)
        # Variables of the environment are in capitals.
        filled_in = _template(f"{component_type}.yaml").replace("env.CONNECTION_NAME", f"env.{name.upper()}")
        (request.target_path / "defs.yaml").write_text(filled_in.replace("CONNECTION_NAME", name), "utf-8")


class MartScaffolder(dg.Scaffolder):
    """Writes a mart that can be computed as it is: costs by service."""

    def scaffold(self, request: dg.ScaffoldRequest) -> None:
        name = _name(request.target_path)
        for template, file in {"Mart.yaml": "defs.yaml", "Mart.sql": f"{name}.sql"}.items():
            (request.target_path / file).write_text(_template(template).replace("MART_NAME", name), "utf-8")


def _template(file: str) -> str:
    return resources.files("focus_pipeline.components").joinpath(file).read_text("utf-8")


def _name(folder: Path) -> str:
    return re.sub(r"[^a-z0-9_]", "_", folder.name.lower())
