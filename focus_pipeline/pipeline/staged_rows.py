"""The rows of a staged month as DuckDB reads them: numbered over all of its Parquet files."""

from itertools import accumulate

from focus_pipeline.focus.canonical import STAGED
from focus_pipeline.records.staged import StagedMonth
from focus_pipeline.sql import path_literal, quoted

ROW = "x_Row"
"""Number of a row in its month, from 0; see StagedMonth.source_of."""

LAYOUT = "x_Layout"
"""Which of the month's layouts the file of a row has; see StagedMonth.layouts."""


def rows_of_month(staged: StagedMonth) -> str:
    """The relation to select from: the columns of STAGED, plus ROW and LAYOUT."""
    parts = staged.staged_parts
    if not parts:
        nothing = (STAGED | {ROW: "BIGINT", LAYOUT: "INTEGER"}).items()
        return f"(SELECT {', '.join(f'CAST(NULL AS {kind}) AS {quoted(name)}' for name, kind in nothing)} WHERE false)"
    starts = accumulate((part.rows for part in parts[:-1]), initial=0)
    layouts = [staged.layouts.index(part.files[0].layout) for part in parts]
    of_file = "[CAST(file_index AS INTEGER) + 1]" if len(parts) > 1 else "[1]"
    layout = f"[{', '.join(map(str, layouts))}]{of_file}" if len(set(layouts)) > 1 else str(layouts[0])
    start = f"[{', '.join(map(str, starts))}]{of_file}" if len(parts) > 1 else "0"
    paths = ", ".join(map(path_literal, staged.paths))
    return (
        f"(SELECT *, file_row_number + {start} AS {ROW}, {layout} AS {LAYOUT} "
        f"FROM read_parquet([{paths}], file_row_number = true, hive_partitioning = false))"
    )
