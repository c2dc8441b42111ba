"""`dg scaffold defs focus_pipeline.<Type> <name>`: writes a commented defs.yaml to fill in."""

import re
from importlib import resources

import dagster as dg


class ConnectionScaffolder(dg.Scaffolder):
    """Takes the template `<Type>.yaml` beside the components and puts the folder's name into it."""

    def scaffold(self, request: dg.ScaffoldRequest) -> None:
        component_type = request.type_name.rsplit(".", 1)[-1]
        template = resources.files("focus_pipeline.components").joinpath(f"{component_type}.yaml").read_text("utf-8")
        name = re.sub(r"[^a-z0-9_]", "_", request.target_path.name.lower())
        # Variables of the environment are in capitals.
        filled_in = template.replace("env.CONNECTION_NAME", f"env.{name.upper()}").replace("CONNECTION_NAME", name)
        (request.target_path / "defs.yaml").write_text(filled_in, "utf-8")
