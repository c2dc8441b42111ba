"""Writes the report of a month from whatever the warehouse has now."""

from collections.abc import Collection, Sequence
from pathlib import Path

import duckdb

from focus_pipeline.files import make_folder, replacing
from focus_pipeline.marts.mart import Mart
from focus_pipeline.month_report.report import NothingToReport, ReportBroken, page_of, report_of, reported_month
from focus_pipeline.pipeline.status import MonthStatus, statuses_now
from focus_pipeline.storage import DataDir
from focus_pipeline.warehouse.warehouse import warehouse_of


def write_month(
    month: str | None,
    marts: Sequence[Mart],
    connections: Collection[str],
    data_dir: DataDir,
    statuses: Sequence[MonthStatus] | None = None,
) -> Path:
    """Writes `reports/<month>.html` of the data directory, in the place of a former one.

    month: `YYYY-MM`; None for the newest one that is over. connections: all that are defined. statuses: of
    statuses_now(), if they are known. Raises NothingToReport, ReportBroken, WarehouseUnusable and MachineFault.
    """
    known = statuses_now(connections, data_dir) if statuses is None else statuses
    try:
        with warehouse_of(data_dir).reading() as connection:
            report = report_of(connection, month or reported_month(connection), marts, known)
    except FileNotFoundError:
        raise NothingToReport("nothing is published yet; load a month, then publish it") from None
    except (duckdb.BinderException, duckdb.ConversionException) as error:
        said = str(error).partition("\n")[0]
        raise ReportBroken(
            f"the report{f' of {month}' if month else ''} cannot be written, for a mart has other columns than it came "
            f"with: {said}"
        ) from error
    path = data_dir.report(report.month)
    make_folder(path.parent)
    with replacing(path) as written:
        written.write_text(page_of(report), "utf-8")
    return path
