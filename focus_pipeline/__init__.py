"""FOCUS cost files of many providers, in one exact DuckDB table.

The component types that `defs.yaml` files name live at this level (`focus_pipeline.MonthFolders`). They are loaded on
first use, so that importing a plain step such as `focus_pipeline.pipeline.stage` does not import Dagster.
"""

from importlib import import_module

_COMPONENTS = {
    "Alerts": "focus_pipeline.components.alerts",
    "AwsDataExport": "focus_pipeline.components.aws_data_export",
    "AzureCostExport": "focus_pipeline.components.azure_cost_export",
    "ExchangeRates": "focus_pipeline.components.exchange_rates",
    "GcpBigQueryExport": "focus_pipeline.components.gcp_bigquery_export",
    "Mart": "focus_pipeline.components.mart",
    "MonthFolders": "focus_pipeline.components.month_folders",
    "OciReports": "focus_pipeline.components.oci_reports",
}

__all__ = sorted(_COMPONENTS)


def __getattr__(name: str) -> object:
    if name not in _COMPONENTS:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(_COMPONENTS[name]), name)


def __dir__() -> list[str]:
    # `dg list components` and `dg scaffold` find component types by dir().
    return __all__
