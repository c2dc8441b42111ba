"""A mart: one SELECT over the unified table, the meaning of its columns, and the checks of its rows."""

import hashlib
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import duckdb

from focus_pipeline.marts.ai_meters import own_rules
from focus_pipeline.marts.functions import calls_functions, fingerprint_of_functions
from focus_pipeline.marts.pictures import values_of
from focus_pipeline.pictures.picture import KINDS, Picture

MONTH = "Month"
"""Column that every mart has: the month of the row, `YYYY-MM`."""

Parameter = str | int | float | bool | list[str]

# The pipeline passes these to every SELECT.
_OWN_PARAMETERS = ("month", "first_month")


@dataclass(frozen=True)
class MartCheck:
    """A SELECT of the rows that are wrong: the check passes if it returns none.

    sql: takes $month, as the mart does, and reads the mart as `marts.<name>`. severity: "ERROR" or "WARN".
    """

    name: str
    description: str
    sql: str
    severity: str = "WARN"


@dataclass(frozen=True)
class Figure:
    """A number of a month, which Dagster plots over the months.

    sql: a SELECT of the number alone, or of one for each BillingCurrency: the currency first. It takes $month.
    """

    name: str
    sql: str


@dataclass(frozen=True)
class Mart:
    """One table of schema `marts`.

    sql: a SELECT of the rows of $month, or of $first_month to $month if the mart looks back. months_back: how many
    months before its own a month reads. grain: columns that tell its rows apart. columns: name -> meaning. covers: the
    mart counts each row of the table once, so that its BilledCost and EffectiveCost add up to the table's. parameters:
    values that the SELECT takes as $name.
    reads: names of other marts that the SELECT reads, of the same months.
    ai_rules: file of further rules for the function ai_meter, see ai_meters.py.
    """

    name: str
    sql: str
    description: str
    grain: tuple[str, ...]
    columns: Mapping[str, str] = field(default_factory=dict)
    months_back: int = 0
    covers: bool = False
    parameters: Mapping[str, Parameter] = field(default_factory=dict)
    checks: tuple[MartCheck, ...] = ()
    figures: tuple[Figure, ...] = ()
    pictures: tuple[Picture, ...] = ()
    ai_rules: Path | None = None
    reads: tuple[str, ...] = ()
    amounts: tuple[str, ...] = ()
    convert_to: str | None = None

    @property
    def converted(self) -> Mapping[str, str]:
        """Amount -> the column that has it in the currency `convert_to`; empty without one."""
        return {name: f"{name}{self.convert_to}" for name in self.amounts} if self.convert_to else {}

    @property
    def meanings(self) -> Mapping[str, str]:
        """Column -> what it means, converted ones included."""
        said = {
            column: f"{amount} in {self.convert_to}, at the rate of the month, rounded to 6 decimals; null without one."
            for amount, column in self.converted.items()
        }
        return {**self.columns, **said}

    @property
    def table(self) -> str:
        """As SQL names it."""
        return f'marts."{self.name}"'

    @property
    def definition(self) -> str:
        """A fingerprint of everything that the mart is made from."""
        content = asdict(self) | {"ai_rules": None}
        if calls_functions(self.sql):
            content["ai_rules"] = fingerprint_of_functions(self.ai_rules)
        return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()[:20]


def check_mart(mart: Mart) -> None:
    """Raises ValueError for a mart that could never be computed. The message says what to write instead."""
    where = f"the SQL of the mart {mart.name}"
    used = _parameters(mart.sql, where)
    if "month" not in used:
        raise ValueError(f"{where} has no $month: select the rows of that month, such as `WHERE x_Month = $month`")
    if mart.months_back and "first_month" not in used:
        raise ValueError(f"{where} has no $first_month, from which on a mart with `months_back` reads")
    if unknown := sorted(used - {*_OWN_PARAMETERS, *mart.parameters}):
        raise ValueError(f"{where} takes ${unknown[0]}, which is none of its `parameters`")
    if taken := sorted({*_OWN_PARAMETERS} & {*mart.parameters}):
        raise ValueError(f"the mart {mart.name} cannot have a parameter {taken[0]!r}: the pipeline gives it")
    if unused := sorted({*mart.parameters} - used):
        raise ValueError(f"{where} does not use its parameter ${unused[0]}")
    if mart.amounts and (lacking := [name for name in ("BillingCurrency", *mart.amounts) if name not in mart.columns]):
        raise ValueError(f"the mart {mart.name} has `amounts`, and no {lacking[0]} among its `columns`")
    if mart.ai_rules is not None:
        own_rules(mart.ai_rules)
    named = [check.name for check in mart.checks]
    for check in mart.checks:
        if check.name in ("grain", "covers", "rates") or named.count(check.name) > 1:
            raise ValueError(f"the mart {mart.name} has two checks named {check.name!r}; give one another name")
        _check_month_alone(check.sql, f"the check {check.name} of the mart {mart.name}")
    for picture in mart.pictures:
        _check_picture(mart, picture)
    for figure in mart.figures:
        _check_month_alone(figure.sql, f"the figure {figure.name} of the mart {mart.name}")


def in_order(marts: Sequence[Mart]) -> list[Mart]:
    """Each mart after those that it reads. Raises ValueError for marts that read each other."""
    by_name = {mart.name: mart for mart in marts}
    sorter = TopologicalSorter({mart.name: [name for name in mart.reads if name in by_name] for mart in marts})
    try:
        return [by_name[name] for name in sorter.static_order()]
    except CycleError as error:
        raise ValueError(f"marts read each other: {', '.join(error.args[1])}") from None


def parameters_of(mart: Mart, month: str, first_month: str) -> dict[str, Parameter]:
    """The values that the mart's SELECT takes for a month: only those that it names."""
    given = {"month": month, "first_month": first_month, **mart.parameters}
    return {name: given[name] for name in _parameters(mart.sql, f"the SQL of the mart {mart.name}")}


def _check_picture(mart: Mart, picture: Picture) -> None:
    where = f"the picture {picture.title!r} of the mart {mart.name}"
    if picture.kind not in KINDS:
        raise ValueError(f"{where} is of no known kind: {picture.kind}; there are {', '.join(KINDS)}")
    if picture.kind == "waterfall":
        if picture.x or picture.series or len(picture.y) < 2:
            raise ValueError(f"{where} is a waterfall, which has a list of columns as y, and neither x nor series")
    elif len(picture.y) != 1 or not picture.x:
        raise ValueError(f"{where} has to have an x and one y")
    _parameters(values_of(picture, mart.name, has_currency=True), where)


def _check_month_alone(sql: str, where: str) -> None:
    if other := sorted(_parameters(sql, where) - {"month"}):
        raise ValueError(f"{where} takes ${other[0]}; it has $month alone")


def _parameters(sql: str, where: str) -> set[str]:
    """The parameters of an SQL text. Raises ValueError if it is not one SELECT."""
    try:
        statements = duckdb.extract_statements(sql)
    except duckdb.Error as error:
        said = re.sub(r"\s+", " ", str(error)).strip()
        raise ValueError(f"{where} cannot be read: {said}") from None
    if [statement.type for statement in statements] != [duckdb.StatementType.SELECT]:
        raise ValueError(f"{where} has to be one SELECT")
    return set(statements[0].named_parameters)
