"""marts/*: an asset for every `focus_pipeline.Mart` of the project, whichever folder of defs/ it stands in."""

from dataclasses import replace

import dagster as dg

from focus_pipeline.components.exchange_rates import converted_to
from focus_pipeline.components.mart import marts
from focus_pipeline.components.mart_assets import mart_definitions
from focus_pipeline.settings import load_settings


@dg.definitions
def all_marts(context: dg.ComponentLoadContext) -> dg.Definitions:
    tree = context.component_tree
    # Marts without amounts stay what they are.
    of_project = [replace(mart, convert_to=converted_to(tree) if mart.amounts else None) for mart in marts(tree)]
    return mart_definitions(of_project, load_settings().storage)
