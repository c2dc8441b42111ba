"""What the months cost, by provider: the picture of the unified table."""

import duckdb

from focus_pipeline.months import months_back
from focus_pipeline.pictures.picture import Drawable, Picture, Point

_PICTURE = Picture(
    "EffectiveCost by provider", "stacked_bars", ("EffectiveCost",), x="Month", series="Provider", months=13
)


def provider_costs(connection: duckdb.DuckDBPyConnection) -> list[Drawable]:
    """The newest months of the table, a picture for each currency. Raises duckdb.Error."""
    last = connection.execute("SELECT max(Month) FROM focus.data_source_months").fetchall()[0][0]
    if last is None:
        return []
    rows = connection.execute(
        """
        SELECT coalesce(BillingCurrency, ''), x_Month, coalesce(ServiceProviderName, ''),
            CAST(sum(EffectiveCost) AS DOUBLE)
        FROM focus.cost_and_usage
        WHERE x_Month BETWEEN $first AND $last
        GROUP BY ALL
        HAVING sum(EffectiveCost) IS NOT NULL
        ORDER BY ALL
        """,
        {"first": months_back(last, _PICTURE.months - 1)[0], "last": last},
    ).fetchall()
    return [
        Drawable(_PICTURE, currency, "", tuple(Point(month, name, y) for of, month, name, y in rows if of == currency))
        for currency in sorted({row[0] for row in rows})
    ]
