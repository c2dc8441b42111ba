"""`focus_pipeline.ExchangeRates`: a file of exchange rates, by which marts have their costs in one currency, too."""

from typing import Annotated

import dagster as dg
from pydantic import Field, model_validator

from focus_pipeline.components import names
from focus_pipeline.components.connection import Text
from focus_pipeline.components.ingestion import WAREHOUSE_RETRIES, named_failures
from focus_pipeline.components.not_loaded import NotLoaded
from focus_pipeline.components.scaffolding import ConnectionScaffolder
from focus_pipeline.components.store_connection import EndpointUrl, StoreAuth, data_dir
from focus_pipeline.connections.store_urls import SCHEMES
from focus_pipeline.marts.exchange_rates import COLUMNS, RatesFile, RatesUnusable, take_over
from focus_pipeline.secrets_filter import raise_alone
from focus_pipeline.settings import load_settings

WHAT = "file of exchange rates"
"""What one that cannot be loaded is called."""

CURRENCY = "^[A-Z]{3}$"


@dg.scaffold_with(ConnectionScaffolder)
class ExchangeRates(dg.Component, dg.Model, dg.Resolvable):
    """A CSV file of exchange rates. With it, marts have their amounts in one currency beside the original ones.

    The columns of the file are month, from, to and rate: what one unit of `from` is in `to`. An amount without a rate
    for its currency and month is not converted, and a check says so. A project has one such file at most.
    """

    url: Annotated[Text, Field(description=f"Where the file is, its name included: {SCHEMES}.")]
    convert_to: Annotated[str, Field(pattern=CURRENCY, description="Currency that amounts are converted to: USD.")]
    auth: StoreAuth = None
    endpoint_url: EndpointUrl = None

    # Dagster looks for template variables in the class of the component itself.
    data_dir = staticmethod(data_dir)

    @model_validator(mode="after")
    def _url_and_auth_fit(self) -> "ExchangeRates":
        self.source()
        return self

    def source(self) -> RatesFile:
        """Where the rates are, without Dagster. Opens nothing yet."""
        return RatesFile(self.url, self.auth, self.endpoint_url)

    def build_defs(self, context: dg.ComponentLoadContext) -> dg.Definitions:
        """The asset that takes the rates over, its job, and the schedule that runs it each day."""
        asset = rates_asset(self.source(), self.convert_to)
        job = dg.define_asset_job(
            "focus_exchange_rates",
            selection=dg.AssetSelection.assets(names.EXCHANGE_RATES),
            description="Takes the exchange rates over. Marts whose rates have changed are computed again.",
        )
        schedule = dg.ScheduleDefinition(
            name="focus_exchange_rates_daily",
            job=job,
            cron_schedule="41 4 * * *",
            execution_timezone="UTC",
            default_status=dg.DefaultScheduleStatus.RUNNING,
        )
        return dg.Definitions(assets=[asset], jobs=[job], schedules=[schedule])


def converted_to(tree: dg.ComponentTree) -> str | None:
    """The currency that the project's marts convert to; None without rates.

    A file of rates that cannot be loaded counts, so that marts keep their columns until it is mended.
    """
    for component in tree.get_all_components(of_type=ExchangeRates):
        return component.convert_to
    for bad in tree.get_all_components(of_type=NotLoaded):
        if bad.what == WHAT and isinstance(currency := bad.attributes.get("convert_to"), str):
            return currency
    return None


def rates_asset(source: RatesFile, convert_to: str) -> dg.AssetsDefinition:
    """focus/exchange_rates. A file with a fault fails it; the former rates stay."""

    @dg.asset(
        key=names.EXCHANGE_RATES,
        group_name="focus",
        kinds={"csv", "duckdb", "table"},
        pool=names.WAREHOUSE_POOL,
        retry_policy=WAREHOUSE_RETRIES,
        metadata={"dagster/table_name": "focus.exchange_rates"},
        description=f"Exchange rates by month, from {source.name}, whose columns are {', '.join(COLUMNS)}. Marts "
        f"convert their amounts to {convert_to} by them.",
    )
    def exchange_rates(context: dg.AssetExecutionContext) -> dg.MaterializeResult:
        with named_failures("the exchange rates"):
            try:
                rates = take_over(source, convert_to, load_settings().storage)
            except RatesUnusable as error:
                raise_alone(dg.Failure(f"{error}. The former rates stay.", allow_retries=False))
            except FileNotFoundError:
                raise dg.Failure(
                    "nothing is published yet; materialise focus/cost_and_usage first", allow_retries=False
                ) from None
        return dg.MaterializeResult(
            metadata={
                "dagster/row_count": rates.rows,
                "Changed rates": rates.changed,
                "Months": f"{rates.first} to {rates.last}",
                "Convert to": convert_to,
            }
        )

    return exchange_rates
