"""The month rule: every row of a file has a ChargePeriodStart in the month under which the file was delivered."""

from dataclasses import dataclass
from pathlib import Path

import duckdb

from focus_pipeline.months import month_bounds
from focus_pipeline.pipeline.csv_lines import lines_of_rows
from focus_pipeline.pipeline.examples import EXAMPLES, by_line, place_within
from focus_pipeline.pipeline.source_files import SourceFile
from focus_pipeline.records.staged import Rejection
from focus_pipeline.sql import only_row, path_literal


@dataclass(frozen=True)
class Outside:
    """Rows of a file with a ChargePeriodStart outside of the month: how many, and the first of them."""

    rows: int
    examples: list[dict]


def outside_of_month(connection: duckdb.DuckDBPyConnection, part: Path, month: str) -> dict[str, Outside]:
    """By key, the files of a part that have such rows."""
    start, end = month_bounds(month)
    rows = f"read_parquet({path_literal(part)}, file_row_number = true)"
    bounds = {"start": start, "end": end}
    is_outside = '"ChargePeriodStart" < $start OR "ChargePeriodStart" >= $end'
    if not only_row(connection.execute(f"SELECT count(*) FROM {rows} WHERE {is_outside}", bounds))[0]:
        return {}
    found = connection.execute(
        f"""
        SELECT
            "x_SourceFile",
            count(*) FILTER ({is_outside}),
            min(file_row_number),
            arg_min(
                {{row: file_row_number, start: strftime("ChargePeriodStart", '%Y-%m-%dT%H:%M:%SZ')}},
                file_row_number,
                {EXAMPLES}
            ) FILTER ({is_outside})
        FROM {rows}
        GROUP BY 1
        """,
        bounds,
    ).fetchall()
    return {
        key: Outside(
            count, [{"row": example["row"] - first + 1, "ChargePeriodStart": example["start"]} for example in examples]
        )
        for key, count, first, examples in found
        if count
    }


def month_rule_broken(source: SourceFile, outside: Outside, month: str) -> Rejection:
    examples = outside.examples
    if source.format != "parquet":
        rows = [example["row"] for example in examples]
        lines = lines_of_rows(source.path, source.format == "csv.gz", rows)
        examples = [by_line(example, lines) for example in examples]
    first = examples[0]
    return Rejection(
        "charge_month",
        f"{outside.rows:,} {'row has' if outside.rows == 1 else 'rows have'} a ChargePeriodStart outside of {month}, "
        f"the first is {place_within(first)} with {first['ChargePeriodStart']}; "
        "put them into the folder of their own month",
        examples,
    )
