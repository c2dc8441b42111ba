"""marts/*: an asset for every `focus_pipeline.Mart` of the project, whichever folder of defs/ it stands in."""

import dagster as dg

from focus_pipeline.components.mart import marts
from focus_pipeline.components.mart_assets import mart_definitions
from focus_pipeline.settings import load_settings


@dg.definitions
def all_marts(context: dg.ComponentLoadContext) -> dg.Definitions:
    return mart_definitions(marts(context.component_tree), load_settings().storage)
