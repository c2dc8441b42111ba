"""What the Dagster UI shows of a month, so that it can be judged from there alone."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from decimal import Decimal

import dagster as dg
import duckdb

from focus_pipeline.connections.delivery import Ignored
from focus_pipeline.focus.canonical import CANONICAL
from focus_pipeline.focus.specification import columns
from focus_pipeline.pictures.drawing import drawn, in_markdown
from focus_pipeline.pictures.picture import Drawable
from focus_pipeline.pipeline.examples import in_words, place_within
from focus_pipeline.pipeline.publish import PublishedMonth
from focus_pipeline.pipeline.staged_rows import rows_of_month
from focus_pipeline.pipeline.status import STATES, MonthStatus
from focus_pipeline.pipeline.status_grid import drawn_grid, in_cells, worst_first
from focus_pipeline.records.landed import LandedDelivery
from focus_pipeline.records.staged import StagedMonth
from focus_pipeline.records.verdicts import CheckVerdict, Failure, Verdict
from focus_pipeline.sql import Sandbox, open_duckdb, quoted
from focus_pipeline.warehouse.connections import DeliveredTwice
from focus_pipeline.warehouse.months import Shown
from focus_pipeline.warehouse.warehouse import Warehouse

_PREVIEW = (
    "ChargePeriodStart",
    "ServiceProviderName",
    "ServiceName",
    "ChargeCategory",
    "SubAccountId",
    "BilledCost",
    "EffectiveCost",
    "BillingCurrency",
)
_SHOWN_ROWS = 10
_SHOWN_FILES = 200
SHOWN_ACCOUNTS = 200


def column_schema() -> dg.TableSchema:
    """Columns of the canonical table, for the Columns tab."""
    specified = columns()
    return dg.TableSchema(
        columns=[
            dg.TableColumn(
                name=name,
                type=kind,
                description=specified[name].description if name in specified else None,
                constraints=dg.TableColumnConstraints(nullable=name not in specified or specified[name].nullable),
            )
            for name, kind in CANONICAL.items()
        ]
    )


def of_landed(landed: LandedDelivery, ignored: Sequence[Ignored]) -> dict[str, object]:
    return {
        "Files": len(landed.files),
        "Bytes": landed.size,
        "Downloaded files": landed.downloaded,
        "Unchanged files": landed.reused,
        "Token": landed.token,
        **landed.facts,
        "Delivered": table(
            [
                {"file": file.key, "bytes": file.size, "etag": file.etag, "kept as": file.path.name}
                for file in landed.files[:_SHOWN_FILES]
            ],
            ("file", "bytes", "etag", "kept as"),
        ),
        "Ignored": table([{"object": i.key, "reason": i.reason} for i in ignored[:_SHOWN_FILES]], ("object", "reason")),
    }


def of_staged(staged: StagedMonth, *, accepted: bool) -> dict[str, object]:
    """What is accepted is plotted over the months; what is not must not look as if it were the month's cost."""
    billed = {total.currency: Decimal(total.billed_cost) for total in staged.totals}
    effective = {total.currency: Decimal(total.effective_cost) for total in staged.totals}
    return {
        "BilledCost": _in_words(billed),
        "EffectiveCost": _in_words(effective),
        "Rows": f"{staged.rows:,}",
        "FOCUS version": ", ".join(sorted({layout.focus_version for layout in staged.rows_of})) or "no rows",
        "Files": len(staged.accepted_files),
        "Rejected files": len(staged.rejected_files),
        "Totals": table(
            [
                {
                    "currency": total.currency or "none",
                    "rows": total.rows,
                    "BilledCost": total.billed_cost,
                    "EffectiveCost": total.effective_cost,
                }
                for total in staged.totals
            ],
            ("currency", "rows", "BilledCost", "EffectiveCost"),
        ),
        "File verdicts": table(
            [
                {
                    "file": file.key,
                    "rows": file.rows,
                    "FOCUS": file.layout.focus_version,
                    "verdict": file.fate,
                }
                for file in staged.files[:_SHOWN_FILES]
            ],
            ("file", "rows", "FOCUS", "verdict"),
        ),
        "Columns of its own": len({own for layout in staged.rows_of for own in layout.own}),
        "Changed values": table(
            [{"column": column, "what": what, "rows": rows} for (column, what), rows in _changed(staged).items()],
            ("column", "what", "rows"),
        ),
        "Preview": _preview(staged),
        "Bytes": staged.size,
        **(_plotted(staged.rows, billed, effective) if accepted else {}),
        "Token": staged.token,
    }


def _changed(staged: StagedMonth) -> dict[tuple[str, str], int]:
    """Column and what reading changed of it -> rows, over all files."""
    changed: dict[tuple[str, str], int] = {}
    for file in staged.accepted_files:
        for column, whats in file.changed.items():
            for what, rows in whats.items():
                changed[column, what] = changed.get((column, what), 0) + rows
    return changed


def of_conformance(verdict: Verdict) -> dict[str, object]:
    """How well the month keeps the rules, as a number that the UI plots, and those that it does not keep."""
    broken = [failure for check in verdict.checks if check.name != "accepted" for failure in check.failures]
    judged = [rule for rule in verdict.rules if rule.verdict != "not applicable"]
    return {
        **({} if verdict.score is None else {"Conformance score (%)": verdict.score}),
        "Rules judged": len(judged),
        "Rules broken": sum(rule.severity in ("ERROR", "WARN") for rule in judged),
        **_broken_rules(broken),
    }


def of_verdict(check: CheckVerdict) -> dict[str, object]:
    shown: dict[str, object] = {"Result": check.summary}
    if check.rules:
        shown["Rules"] = f"{check.rules} rules judged"
    if check.failures:
        shown["Violations"] = sum(failure.violations for failure in check.failures)
        shown |= _broken_rules(check.failures)
    return shown


def _broken_rules(failures: Sequence[Failure]) -> dict[str, object]:
    rules = [
        {
            "rule": failure.rule,
            "level": failure.level,
            "severity": failure.severity,
            "violations": failure.violations,
            "rows": failure.rows,
            "what": (f"known gap of {failure.gap}: " if failure.gap else "") + failure.sentence,
            "what to do": failure.remedy,
        }
        for failure in failures
    ]
    examples = [
        {
            "rule": failure.rule,
            "file": str(example.get("file", failure.file or "")),
            "place": place_within(example),
            "values": in_words(example),
        }
        for failure in failures
        for example in failure.examples
    ]
    return {
        "Broken rules": table(rules, ("rule", "level", "severity", "violations", "rows", "what", "what to do")),
        "Examples": table(examples, ("rule", "file", "place", "values")),
    }


def of_published(
    published: PublishedMonth, shown: Sequence[Shown], warehouse: Warehouse, drawn: Mapping[str, object]
) -> dict[str, object]:
    """Where the table is and how to ask it comes first, then what is drawn, and what only the pipeline needs last."""
    billed: dict[str | None, Decimal] = {}
    effective: dict[str | None, Decimal] = {}
    for one in shown:
        billed[one.currency] = billed.get(one.currency, Decimal(0)) + one.billed_cost
        effective[one.currency] = effective.get(one.currency, Decimal(0)) + one.effective_cost
    rows = sum(one.rows for one in shown)
    return {
        "Table": f"focus.cost_and_usage in {warehouse.place}",
        "Query": dg.MetadataValue.md(f"```sql\n{_query(published.month)}\n```"),
        **drawn,
        "BilledCost": _in_words(billed),
        "EffectiveCost": _in_words(effective),
        "Rows": f"{rows:,}",
        "Connections": table(
            [
                {
                    "connection": one.connection,
                    "rows": one.rows,
                    "currency": one.currency or "none",
                    "BilledCost": str(one.billed_cost),
                    "EffectiveCost": str(one.effective_cost),
                }
                for one in shown
            ],
            ("connection", "rows", "currency", "BilledCost", "EffectiveCost"),
        ),
        "Replaced now": table(
            [
                {
                    "connection": one.connection,
                    "rows before": one.rows_before,
                    "rows after": one.rows_after,
                    "BilledCost before": _amounts(one.billed_cost_before),
                    "BilledCost after": _amounts(one.billed_cost_after),
                }
                for one in published.replaced
            ],
            ("connection", "rows before", "rows after", "BilledCost before", "BilledCost after"),
        ),
        **_plotted(rows, billed, effective),
        "Tokens": {one.connection: one.token for one in shown},
    }


def pictures(drawables: Iterable[Drawable]) -> dict[str, dg.MarkdownMetadataValue]:
    """One entry with all pictures: the UI opens an entry of more than 1,000 characters by a click."""
    shown = [
        f"{one.title}: the picture cannot be drawn: {one.fault}" if one.fault else in_markdown(drawn(one), one.title)
        for one in drawables
    ]
    return {"Pictures": dg.MetadataValue.md("\n\n".join(shown))} if shown else {}


def of_statuses(statuses: Sequence[MonthStatus]) -> dict[str, object]:
    """The status grid as a picture, and as a table, what needs a person first."""
    if not statuses:
        return {}
    rows = [in_cells(one) for one in worst_first(statuses)[:_SHOWN_FILES]]
    counts = {state: sum(one.state == state for one in statuses) for state in STATES}
    said = ", ".join(f"{count:,} {state}" for state, count in counts.items() if count)
    return {
        "Status": dg.MetadataValue.md(in_markdown(drawn_grid(statuses), f"Status of each month: {said}")),
        "Status of months": table(rows, rows[0]),
    }


def unified_description(warehouse: Warehouse) -> str:
    """Of the unified asset, in Markdown: what it is, where, and how to open it."""
    return (
        f"All accepted months of all connections in one table, exact to the last decimal: `focus.cost_and_usage` in "
        f"`{warehouse.place}`.\n\n```python\n{warehouse.opening}\n"
        'print(connection.sql("""\n'
        "    SELECT x_Month, ServiceProviderName, BillingCurrency, sum(EffectiveCost) AS EffectiveCost\n"
        "    FROM focus.cost_and_usage\n    GROUP BY ALL\n    ORDER BY ALL\n"
        '"""))\n```\n\nA reader holds up no publication, and sees the table as it was when it was opened.'
    )


def _query(month: str) -> str:
    """What a month costs, as a person would ask; the test of it runs it."""
    return (
        "SELECT ServiceProviderName, ServiceName, BillingCurrency, sum(EffectiveCost) AS EffectiveCost\n"
        f"FROM focus.cost_and_usage\nWHERE x_Month = '{month}'\nGROUP BY ALL\nORDER BY EffectiveCost DESC"
    )


def in_words_delivered_twice(twice: DeliveredTwice, month: str, undefined: Collection[str] = ()) -> str:
    if not twice.count:
        return f"no account of {month} is delivered by two connections"
    account = twice.first[0]
    which = f"{account.provider or 'no provider'}, billing account {account.billing_account}"
    if account.sub_account:
        which += f", sub-account {account.sub_account}"
    return (
        f"{' and '.join(account.connections)} both deliver {which} for {month}"
        + (f", and {twice.count - 1:,} more accounts are delivered twice" if twice.count > 1 else "")
        + "; their costs are in the table twice. "
        + _advice_on_doubles([name for name in account.connections if name in undefined])
    )


def _advice_on_doubles(undefined: Sequence[str]) -> str:
    if not undefined:
        return "Remove one of the connections with `focus-pipeline remove`, or narrow what one of them exports"
    name = undefined[0]
    return (
        f"No connection {name} is defined any more: `focus-pipeline rename {name} NEW` if it is called NEW now, "
        f"`focus-pipeline remove {name}` if it is not wanted"
    )


def in_words_undefined(undefined: Mapping[str, Mapping[str, int]]) -> str:
    """undefined: connection that no defs.yaml defines -> month -> rows in the table."""
    said = [
        f"{name} has {sum(months.values()):,} rows of {len(months)} months ({min(months)} to {max(months)}), and no "
        f"defs.yaml defines it: `focus-pipeline rename {name} NEW` if it is called NEW now, `focus-pipeline remove "
        f"{name}` if it is not wanted"
        for name, months in undefined.items()
    ]
    return "; ".join(said) or "every connection in the table is defined"


def of_delivered_twice(twice: DeliveredTwice) -> dict[str, object]:
    names = ("provider", "billing account", "sub-account", "connections")
    rows = [dict(zip(names, (*account, ", ".join(found)), strict=True)) for *account, found in twice.first]
    return {"Accounts": twice.count, "Delivered twice": table(rows, names)}


def data_sources_preview(warehouse: duckdb.DuckDBPyConnection) -> dict[str, object]:
    names = ("ParentId", "SubAccountId", "Name", "BillingCurrency", "FirstMonth", "LastMonth", "Rows", "BilledCost")
    rows = warehouse.execute(
        f"SELECT {', '.join(f'CAST({quoted(name)} AS VARCHAR)' for name in names)} "
        f"FROM focus.data_sources LIMIT {_SHOWN_FILES}"
    ).fetchall()
    count = warehouse.execute("SELECT count(DISTINCT DataSourceId) FROM focus.data_sources").fetchone()[0]
    return {"Data sources": count, "Preview": table(_records(names, rows), names)}


def _plotted(
    rows: int, billed: Mapping[str | None, Decimal], effective: Mapping[str | None, Decimal]
) -> dict[str, float]:
    """Numbers that the UI plots over the months, costs as one per currency; the exact ones are in the tables."""
    return {
        "dagster/partition_row_count": rows,
        **{f"BilledCost ({currency or 'no currency'})": round(float(cost), 2) for currency, cost in billed.items()},
        **{
            f"EffectiveCost ({currency or 'no currency'})": round(float(cost), 2)
            for currency, cost in effective.items()
        },
    }


def _in_words(costs: Mapping[str | None, Decimal]) -> str:
    """Costs for people: `95,549.49 USD · 12.00 EUR`."""
    return " · ".join(f"{cost:,.2f} {currency or 'without currency'}" for currency, cost in costs.items()) or "none"


def _amounts(costs: Mapping[str, Decimal]) -> str:
    return ", ".join(f"{cost:f} {currency or 'without currency'}" for currency, cost in costs.items()) or "nothing"


def _preview(staged: StagedMonth) -> dg.TableMetadataValue:
    with open_duckdb(Sandbox((staged.folder,))) as connection:
        rows = connection.execute(
            f"SELECT {', '.join(f'CAST({quoted(name)} AS VARCHAR)' for name in _PREVIEW)} "
            f"FROM {rows_of_month(staged)} LIMIT {_SHOWN_ROWS}"
        ).fetchall()
    return table(_records(_PREVIEW, rows), _PREVIEW)


def _records(names: Sequence[str], rows: Iterable[Sequence[str | None]]) -> list[dict[str, str]]:
    return [{name: value or "" for name, value in zip(names, row, strict=True)} for row in rows]


def table(records: Iterable[dict], names: Iterable[str]) -> dg.TableMetadataValue:
    """What the UI shows as a table. names: its columns."""
    return dg.MetadataValue.table(
        records=[dg.TableRecord(record) for record in records],
        schema=dg.TableSchema(columns=[dg.TableColumn(name) for name in names]),
    )
