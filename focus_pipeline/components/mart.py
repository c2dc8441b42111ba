"""`focus_pipeline.Mart`: a table of schema `marts`, made of one SQL file."""

from pathlib import Path
from typing import Annotated, Literal

import dagster as dg
from pydantic import Field, model_validator

from focus_pipeline.components.scaffolding import MartScaffolder
from focus_pipeline.marts.mart import Figure, MartCheck, check_mart
from focus_pipeline.marts.mart import Mart as MartOfSql
from focus_pipeline.pictures.picture import KINDS, Format, Kind, Picture


def resolve_sql(context: dg.ResolutionContext, file: str) -> str:
    """The content of an SQL file beside the defs.yaml."""
    path = Path(context.resolve_source_relative_path(file))
    try:
        return path.read_text("utf-8")
    except FileNotFoundError:
        raise ValueError(f"there is no file {file} beside the defs.yaml") from None
    except (OSError, UnicodeDecodeError) as error:
        raise ValueError(f"the file {file} cannot be read: {error}") from None


def as_written(context: dg.ResolutionContext, value: object) -> object:
    """Takes a value as the YAML has it.

    Dagster would compile each text as a Jinja template, which takes most of the time of loading a mart.
    """
    return value


Text = Annotated[str, dg.Resolver(as_written, model_field_type=str, inject_before_resolve=False)]
Texts = Annotated[list[str], dg.Resolver(as_written, model_field_type=list[str], inject_before_resolve=False)]
TextByName = Annotated[
    dict[str, str], dg.Resolver(as_written, model_field_type=dict[str, str], inject_before_resolve=False)
]
# As a template, a text that is a JSON object would become one.
Values = Annotated[
    dict[str, str | int | float | bool | list[str]],
    dg.Resolver(
        as_written, model_field_type=dict[str, str | int | float | bool | list[str]], inject_before_resolve=False
    ),
]


class Check(dg.Model, dg.Resolvable):
    """A SELECT of the rows that are wrong."""

    name: Annotated[str, Field(pattern="^[a-z][a-z0-9_]*$", description="Name of the asset check.")]
    description: Annotated[Text, Field(description="What is true of every row where the check passes.")]
    sql: Annotated[
        str, Field(description="SELECT of the rows that are wrong: `FROM marts.<name> WHERE Month = $month …`.")
    ]
    severity: Annotated[Literal["WARN", "ERROR"], Field(description="How serious a row of it is.")] = "WARN"


class FigureOfMart(dg.Model, dg.Resolvable):
    """A number of a month."""

    name: Annotated[str, Field(min_length=1, description="Name in the metadata of the asset, where Dagster plots it.")]
    sql: Annotated[
        str,
        Field(description="SELECT of the number alone, or of one for each BillingCurrency, the currency first."),
    ]


class PictureOfMart(dg.Model, dg.Resolvable):
    """A picture of the mart's rows, one for each BillingCurrency."""

    title: Annotated[Text, Field(description="What the picture shows; the currency and the month are added to it.")]
    kind: Annotated[
        Kind,
        Field(description="; ".join(f"{kind}: {said}" for kind, said in KINDS.items())),
    ]
    y: Annotated[
        str | list[str],
        Field(description="Column that is added up, or SQL over rows of one x and series; of a waterfall, columns."),
    ]
    x: Annotated[str, Field(description="Column of the mart, or SQL over its columns.")] = ""
    series: Annotated[str, Field(description="As x: each value is a series with a colour of its own.")] = ""
    where: Annotated[str, Field(description="SQL condition for the rows.")] = ""
    of: Annotated[str, Field(description="Name of another mart, whose rows are drawn.")] = ""
    months: Annotated[
        int, Field(ge=1, le=120, description="How many months, up to the newest one; 1 for the month itself.")
    ] = 1
    top: Annotated[int, Field(ge=1, le=40, description="How many series or bars; the rest is added up.")] = 7
    format: Annotated[Format, Field(description="How the values are written.")] = "amount"
    marks: Annotated[
        bool, Field(description="Mark the x that the mart has rows of, in a picture `of` another mart.")
    ] = False


@dg.scaffold_with(MartScaffolder)
class Mart(dg.Component, dg.Model, dg.Resolvable):
    """A table of schema `marts`: one SELECT over the unified table, kept month by month.

    The SELECT stands in a file of its own and takes the month as $month. A month is computed again when one that it
    reads was published, and all of them when the mart itself has changed.
    """

    name: Annotated[
        str, Field(pattern="^[a-z][a-z0-9_]*$", description="Name of the table in schema `marts`, and of the asset.")
    ]
    sql: Annotated[
        str,
        dg.Resolver(resolve_sql, model_field_type=str),
        Field(description="The SQL file beside this one: a SELECT of the rows of $month, `YYYY-MM`."),
    ]
    description: Annotated[Text, Field(description="What the mart answers, and by which of the months a row goes.")]
    grain: Annotated[
        Texts,
        Field(min_length=1, description="Columns that tell the rows apart. A check holds the table to it."),
    ]
    columns: Annotated[
        TextByName,
        Field(description="Column -> what it means: for the Columns tab, and as a comment in the warehouse."),
    ] = {}  # noqa: RUF012  (pydantic copies defaults)
    months_back: Annotated[
        int,
        Field(
            ge=0, le=120, description="How many months before its own a month reads; the SELECT has $first_month then."
        ),
    ] = 0
    reads: Annotated[
        list[str], Field(description="Names of other marts that the SELECT reads, of the same months.")
    ] = []  # noqa: RUF012
    covers: Annotated[
        bool,
        Field(
            description="Every row of the table is counted once: a check holds BilledCost and EffectiveCost to the "
            "table's, by BillingCurrency."
        ),
    ] = False
    parameters: Annotated[
        Values,
        Field(description="Values that the SELECT takes as $name, as they are written here."),
    ] = {}  # noqa: RUF012
    amounts: Annotated[
        list[str],
        Field(
            description="Columns in BillingCurrency. With a `focus_pipeline.ExchangeRates` in the project, the mart "
            "has each of them in its currency, too."
        ),
    ] = []  # noqa: RUF012
    checks: Annotated[list[Check], Field(description="Further checks, each a SELECT of the rows that are wrong.")] = []  # noqa: RUF012
    figures: Annotated[list[FigureOfMart], Field(description="Numbers of a month that Dagster plots.")] = []  # noqa: RUF012
    pictures: Annotated[
        list[PictureOfMart], Field(description="Pictures on the asset's page, drawn whenever a month is computed.")
    ] = []  # noqa: RUF012
    ai_rules: Annotated[
        Path | None,
        dg.Resolver(lambda context, file: context.resolve_source_relative_path(file), model_field_type=str | None),
        Field(description="File beside this one with rules of your own for the function ai_meter, asked before ours."),
    ] = None

    @model_validator(mode="after")
    def _can_be_computed(self) -> "Mart":
        check_mart(self.mart())
        return self

    def mart(self) -> MartOfSql:
        """The mart without Dagster."""
        return MartOfSql(
            name=self.name,
            sql=self.sql,
            description=self.description.strip(),
            grain=tuple(self.grain),
            columns={name: " ".join(meaning.split()) for name, meaning in self.columns.items()},
            months_back=self.months_back,
            covers=self.covers,
            parameters=self.parameters,
            checks=tuple(MartCheck(**check.model_dump()) for check in self.checks),
            figures=tuple(Figure(**figure.model_dump()) for figure in self.figures),
            pictures=tuple(
                Picture(**one.model_dump() | {"y": (one.y,) if isinstance(one.y, str) else tuple(one.y)})
                for one in self.pictures
            ),
            ai_rules=self.ai_rules,
            amounts=tuple(self.amounts),
            reads=tuple(self.reads),
        )

    def build_defs(self, context: dg.ComponentLoadContext) -> dg.Definitions:
        """Nothing by itself: one step computes all marts, see mart_assets.py."""
        return dg.Definitions()


def marts(tree: dg.ComponentTree) -> list[MartOfSql]:
    """The marts of a project that can be loaded, by name."""
    found = sorted(tree.get_all_components(of_type=Mart), key=lambda component: component.name)
    return [component.mart() for component in found]
