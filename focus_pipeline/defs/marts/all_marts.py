"""marts/*: an asset for every `focus_pipeline.Mart` of the project, whichever folder of defs/ it stands in."""

from dataclasses import replace

import dagster as dg

from focus_pipeline.components.connection import connections
from focus_pipeline.components.exchange_rates import converted_to
from focus_pipeline.components.mart import marts
from focus_pipeline.components.mart_assets import mart_definitions
from focus_pipeline.components.not_loaded import NotLoaded
from focus_pipeline.settings import load_settings


@dg.definitions
def all_marts(context: dg.ComponentLoadContext) -> dg.Definitions:
    tree = context.component_tree
    # Marts without amounts stay what they are.
    of_project = [replace(mart, convert_to=converted_to(tree) if mart.amounts else None) for mart in marts(tree)]
    not_loaded = [bad.name for bad in tree.get_all_components(of_type=NotLoaded) if bad.what == "connection"]
    return mart_definitions(of_project, load_settings().storage, [*connections(tree), *not_loaded])
