"""What holds for all assets, mapped over the loaded definitions: owners, freshness, tags, and where each is defined."""

from collections.abc import Mapping
from datetime import timedelta
from pathlib import Path

import dagster as dg

from focus_pipeline.components import names
from focus_pipeline.components.connection import ConnectionComponent

PACKAGE = Path(__file__).parents[1]

# Definitions in Python -> where they are; what is of a component has its defs.yaml from Dagster.
_SOURCES = {
    names.UNIFIED: PACKAGE / "defs" / "focus" / "unified.py",
    names.DATA_SOURCES: PACKAGE / "defs" / "focus" / "unified.py",
    names.REPORT: PACKAGE / "month_report" / "report.py",
}


def with_policies(
    definitions: dg.Definitions, connections: Mapping[str, ConnectionComponent], sql_files: Mapping[str, Path]
) -> dg.Definitions:
    """The definitions with these rules on their assets.

    A connection's assets have its owners, and a tag with its name. Its `latest_delivery` is fresh for as long as its
    `stale_after_hours` say. connections, sql_files: by name, the latter of marts.
    """

    def mapped(spec: dg.AssetSpec) -> dg.AssetSpec:
        component = connections.get(spec.key.path[0])
        if component is not None:
            spec = spec.merge_attributes(owners=component.owners, tags={names.CONNECTION_TAG: spec.key.path[0]})
            if spec.key == names.latest_delivery(component.name):
                spec = spec.replace_attributes(freshness_policy=_fresh_for(component.stale_after_hours))
        source = sql_files.get(spec.key.path[-1]) if spec.key.path[0] == "marts" else _SOURCES.get(spec.key)
        return spec if source is None else spec.merge_attributes(metadata=_source(source))

    return definitions.map_asset_specs(func=mapped)


def _fresh_for(hours: int) -> dg.FreshnessPolicy:
    return dg.FreshnessPolicy.time_window(fail_window=timedelta(hours=hours))


def _source(file: Path) -> Mapping[str, object]:
    reference = dg.LocalFileCodeReference(file_path=str(file), line_number=1, label=file.name)
    return {"dagster/code_references": dg.CodeReferencesMetadataValue(code_references=[reference])}
