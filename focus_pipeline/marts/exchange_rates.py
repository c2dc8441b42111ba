"""Exchange rates of months: a CSV file that a person keeps, taken whole into focus.exchange_rates."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import unquote, urlsplit

import duckdb

from focus_pipeline.connections.auth import Auth
from focus_pipeline.connections.store_errors import NotFound
from focus_pipeline.connections.store_urls import InvalidUrl, check_url, open_store
from focus_pipeline.files import make_folder
from focus_pipeline.sql import literal, only_row, open_duckdb, transaction
from focus_pipeline.storage import DataDir
from focus_pipeline.warehouse.warehouse import warehouse_of

COLUMNS = ("month", "from", "to", "rate")

SHOWN = 3


class RatesUnusable(Exception):
    """The file of rates has a fault. The message names file, line and fault; the former rates stay."""


@dataclass(frozen=True)
class RatesFile:
    """Where the rates are. url: of the file itself. auth, endpoint_url: as for connections, see store_urls.py.

    Raises InvalidUrl when they cannot be used.
    """

    url: str
    auth: Auth | None = None
    endpoint_url: str | None = None

    def __post_init__(self) -> None:
        check_url(self.url, self.auth, self.endpoint_url)
        if not self.name:
            raise InvalidUrl("the url has to be that of the file, such as s3://<bucket>/<folder>/rates.csv")

    @property
    def name(self) -> str:
        last = self.url.rpartition("/")[2]
        return unquote(last) if urlsplit(self.url).scheme == "file" else last

    def download(self, path: Path) -> None:
        """Raises StoreError, NotFound if there is no such file."""
        store, folder = open_store(self.url.rpartition("/")[0] or "/", self.auth, self.endpoint_url)
        key = f"{folder}{self.name}"
        found = next((item for item in store.list_level(folder).objects if item.key == key), None)
        if found is None:
            raise NotFound(f"there is no file {self.name} in {store.address}/{folder}")
        store.download(found, path)


@dataclass(frozen=True)
class Rates:
    """What a file holds. rows: how many rates. first, last: months, `YYYY-MM`. currencies: those that it converts to.

    changed: rates that differ from those of the warehouse, new and removed ones included.
    """

    rows: int
    first: str
    last: str
    currencies: tuple[str, ...]
    changed: int


def take_over(source: RatesFile, convert_to: str, data_dir: DataDir) -> Rates:
    """Replaces focus.exchange_rates by what the file holds, in one transaction, and keeps the file.

    convert_to: a currency that the file has to have rates to. The warehouse is written only if a rate has changed.
    Raises StoreError, RatesUnusable, FileNotFoundError if nothing was published yet, WarehouseUnusable and
    MachineFault.
    """
    warehouse = warehouse_of(data_dir)
    make_folder(data_dir.exchange_rates)
    given = data_dir.exchange_rates / "given.csv"
    read = data_dir.exchange_rates / "rates.parquet"
    source.download(given)
    with open_duckdb(data_dir.sandbox) as connection:
        _read(connection, given, source.name)
        connection.execute(f"COPY rates TO {literal(str(read))} (FORMAT parquet)")
        rows, first, last, currencies = only_row(
            connection.execute("SELECT count(*), min(Month), max(Month), list(DISTINCT ToCurrency) FROM rates")
        )
    if convert_to not in currencies:
        raise RatesUnusable(f"{source.name} has rates to {', '.join(sorted(currencies))}, and none to {convert_to}")
    with warehouse.reading() as connection:
        try:
            changed = _changed(connection, read)
        except duckdb.CatalogException:  # of an earlier version, which writing brings up to date
            changed = rows
    if changed:
        with warehouse.writing() as connection, transaction(connection):
            changed = _changed(connection, read)
            connection.execute("DELETE FROM focus.exchange_rates")
            connection.execute(f"INSERT INTO focus.exchange_rates FROM read_parquet({literal(str(read))})")
    given.replace(data_dir.exchange_rates / "rates.csv")
    return Rates(rows, first, last, tuple(sorted(currencies)), changed)


def _changed(connection: duckdb.DuckDBPyConnection, read: Path) -> int:
    (changed,) = only_row(
        connection.execute(
            f"""
            SELECT count(*)
            FROM focus.exchange_rates AS former
            FULL JOIN read_parquet({literal(str(read))}) AS given USING (Month, FromCurrency, ToCurrency)
            WHERE former.Rate IS DISTINCT FROM given.Rate
            """
        )
    )
    return changed


def rates_of(connection: duckdb.DuckDBPyConnection) -> Mapping[tuple[str, str], str]:
    """Month and currency that is converted to -> a fingerprint of the rates. Raises duckdb.Error."""
    rows = connection.execute(
        """
        SELECT Month, ToCurrency, md5(string_agg(concat_ws('=', FromCurrency, Rate), ',' ORDER BY FromCurrency))
        FROM focus.exchange_rates
        GROUP BY Month, ToCurrency
        """
    ).fetchall()
    return {(month, to): fingerprint for month, to, fingerprint in rows}


def _delimiter(path: Path) -> str:
    with path.open(encoding="utf-8-sig", errors="replace") as file:
        first = file.readline(1000)
    return next((delimiter for delimiter in ",;\t" if delimiter in first), ",")


def _read(connection: duckdb.DuckDBPyConnection, path: Path, name: str) -> None:
    """Into a table `rates`. Raises RatesUnusable."""
    try:
        # Read one by one, so that the rows keep their numbers.
        connection.execute(
            """
            CREATE TABLE given AS
            SELECT row_number() OVER () + 1 AS line, *
            FROM read_csv($path, delim = $delimiter, quote = '"', header = true, skip = 0, all_varchar = true)
            """,
            {"path": str(path), "delimiter": _delimiter(path)},
        )
    except duckdb.Error as error:
        said = str(error).partition("\n")[0].replace(str(path), name)
        raise RatesUnusable(f"{name} cannot be read as CSV: {said}") from None
    there = {row[0].strip().lower() for row in connection.execute("DESCRIBE given").fetchall()}
    if lacking := [column for column in COLUMNS if column not in there]:
        raise RatesUnusable(f"{name} has no column {lacking[0]}; its first line has to be {','.join(COLUMNS)}")
    connection.execute(
        """
        CREATE TABLE lines AS
        SELECT
            line,
            trim("month") AS Month,
            upper(trim("from")) AS FromCurrency,
            upper(trim("to")) AS ToCurrency,
            trim(rate) AS written,
            TRY_CAST(trim(rate) AS DECIMAL(38, 18)) AS Rate
        FROM given
        """
    )
    faults = connection.execute(
        """
        SELECT
            line,
            CASE
                WHEN NOT coalesce(regexp_full_match(Month, '[0-9]{4}-(0[1-9]|1[0-2])'), false)
                    THEN concat('month is ', coalesce(Month, 'empty'), '; write it as 2025-03')
                WHEN coalesce(FromCurrency, '') = '' THEN 'from is empty; write the currency of the bills, such as EUR'
                WHEN coalesce(ToCurrency, '') = '' THEN 'to is empty; write the currency to convert to, such as USD'
                WHEN Rate IS NULL
                    THEN concat('rate is ', coalesce(written, 'empty'), '; write a number with a point, such as 1.0812')
                WHEN Rate <= 0 THEN concat('rate is ', written, ', and has to be more than 0')
                WHEN FromCurrency = ToCurrency AND Rate <> 1
                    THEN concat('a rate from ', FromCurrency, ' to itself is ', written)
                WHEN count(*) OVER (PARTITION BY Month, FromCurrency, ToCurrency) > 1
                    THEN concat_ws(' ', Month, FromCurrency, 'to', ToCurrency, 'stands in several lines')
            END AS fault
        FROM lines
        QUALIFY fault IS NOT NULL
        ORDER BY line
        """
    ).fetchall()
    (rows,) = only_row(connection.execute("SELECT count(*) FROM lines"))
    if faults:
        shown = "; ".join(f"line {line}: {fault}" for line, fault in faults[:SHOWN])
        more = f"; {len(faults) - SHOWN:,} more" if len(faults) > SHOWN else ""
        raise RatesUnusable(f"{name} has {len(faults):,} wrong lines of {rows:,}: {shown}{more}")
    if not rows:
        raise RatesUnusable(f"{name} has no rates")
    connection.execute("CREATE TABLE rates AS SELECT Month, FromCurrency, ToCurrency, Rate FROM lines")
