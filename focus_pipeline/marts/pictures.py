"""The values that the pictures of a mart show, as SQL finds them in the warehouse."""

import re
from collections.abc import Iterator

import duckdb

from focus_pipeline.months import months_back
from focus_pipeline.pictures.picture import Drawable, Picture, Point
from focus_pipeline.sql import literal, quoted

# More than these are not drawn one by one; the largest come first.
_LARGEST = 5000

_COLUMN = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")


def values_of(picture: Picture, mart: str, *, has_currency: bool) -> str:
    """A SELECT of currency, x, series and y from a mart; it takes $first_month and $month."""
    table = f'marts."{picture.of or mart}"'
    currency = "coalesce(BillingCurrency, '')" if has_currency else "''"
    condition = f"Month BETWEEN $first_month AND $month AND ({picture.where or 'true'})"
    if picture.kind == "waterfall":
        sums = " UNION ALL ".join(
            f"SELECT {currency} AS currency, {literal(name)} AS x, '' AS series, CAST(sum({quoted(name)}) AS DOUBLE) "
            f"AS y, {number} AS place FROM {table} WHERE {condition} GROUP BY ALL"
            for number, name in enumerate(picture.y)
        )
        return f"SELECT currency, x, series, y FROM ({sums}) WHERE y IS NOT NULL ORDER BY currency, place"
    (y,) = picture.y
    summed = f"sum({quoted(y)})" if _COLUMN.fullmatch(y) else y
    return f"""
        SELECT currency, coalesce(CAST(x AS VARCHAR), '') AS x, coalesce(CAST(series AS VARCHAR), '') AS series, y
        FROM (
            SELECT {currency} AS currency, {picture.x} AS x, {picture.series or "''"} AS series,
                CAST({summed} AS DOUBLE) AS y
            FROM {table}
            WHERE {condition}
            GROUP BY ALL
        )
        WHERE y IS NOT NULL AND isfinite(y)
        ORDER BY abs(y) DESC, currency, x, series
        LIMIT {_LARGEST}
    """


def drawables(
    connection: duckdb.DuckDBPyConnection, picture: Picture, mart: str, month: str, *, has_currency: bool
) -> Iterator[Drawable]:
    """The picture, one for each currency. month: that of a picture of one month; others end with the newest one.

    A picture whose SQL fails comes as one with a fault.
    """
    table = f'marts."{picture.of or mart}"'
    try:
        last = month
        if picture.months > 1:
            last = connection.execute(f"SELECT max(Month) FROM {table}").fetchall()[0][0] or month
        months = {"first_month": months_back(last, picture.months - 1)[0], "month": last}
        rows = connection.execute(values_of(picture, mart, has_currency=has_currency), months).fetchall()
        marks: dict[str, list[str]] = {}
        if picture.marks:
            sql = f'SELECT DISTINCT BillingCurrency, CAST({picture.x} AS VARCHAR) FROM marts."{mart}" '
            sql += "WHERE Month BETWEEN $first_month AND $month"
            for currency, x in connection.execute(sql, months).fetchall():
                marks.setdefault(currency, []).append(x)
    except duckdb.Error as error:
        yield Drawable(picture, "", month, fault=str(error).partition("\n")[0])
        return
    when = month if picture.months == 1 else ""
    for currency in sorted({row[0] for row in rows}):
        points = tuple(Point(x, series, y) for found, x, series, y in rows if found == currency)
        yield Drawable(picture, currency, when, points, tuple(marks.get(currency, ())))
