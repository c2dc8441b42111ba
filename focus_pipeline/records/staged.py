"""What is staged of a month: which rows of which files, what each file was found to be, and the report of it."""

from bisect import bisect_right
from dataclasses import dataclass, field, fields
from decimal import Context, Decimal
from functools import cached_property
from itertools import accumulate
from pathlib import Path

from focus_pipeline.files import sha256
from focus_pipeline.json_records import read_record, write_record
from focus_pipeline.storage import DataDir

# Python's own decimals are rounded to 28 digits when they are added up.
_EXACT = Context(prec=80)

CORRECT_IT = "correct the file and upload it again"
"""What to do about a file that cannot be read."""


@dataclass(frozen=True)
class Broken:
    """A rule that a file's text, header or types break.

    provider: of the rows that do, None for the header and types. sentence: what is wrong, "" where the rule says it.
    examples: row (from 1, header not counted) and value as written.
    """

    rule: str
    violations: int
    provider: str | None = None
    sentence: str = ""
    examples: list[dict] = field(default_factory=list)


@dataclass(frozen=True)
class Rejection:
    """Why a file is not part of the month. rule: the check that reports it. examples: of the rows that break it, each
    with line or row, see Failure, and values.
    """

    rule: str
    reason: str
    examples: list[dict] = field(default_factory=list)


@dataclass(frozen=True)
class Layout:
    """What files of one kind have in common.

    columns: as sent. recognised: the canonical columns that they fill. own: those that are not of FOCUS.
    """

    format: str
    focus_version: str
    columns: tuple[str, ...] = ()
    recognised: tuple[str, ...] = ()
    own: tuple[str, ...] = ()


UNKNOWN_LAYOUT = Layout("", "")


@dataclass(frozen=True)
class StagedFile:
    """One delivered file.

    layout: of a file that cannot be read, one without columns. rows, billed_cost, effective_cost, providers, rounded,
    changed, broken: see source_counts.Counted; they are counted in the delivered file itself, apart from the staging.
    lines: of a CSV file; 0 of one that has none, or was not read. same_as: the file of the delivery that holds the same
    bytes and is counted in its place, "" where there is none. other: what it is in place of a bill, see
    specification.other_dataset.
    """

    key: str
    size: int
    layout: Layout = UNKNOWN_LAYOUT
    rows: int = 0
    billed_cost: dict[str, str] = field(default_factory=dict)
    effective_cost: dict[str, str] = field(default_factory=dict)
    providers: list[str] = field(default_factory=list)
    rounded: dict[str, int] = field(default_factory=dict)
    changed: dict[str, dict[str, int]] = field(default_factory=dict)
    broken: list[Broken] = field(default_factory=list)
    lines: int = 0
    rejection: Rejection | None = None
    same_as: str = ""
    other: str = ""

    @property
    def is_staged(self) -> bool:
        """Whether its rows are part of the staged month."""
        return self.rejection is None and not self.same_as and not self.other

    @property
    def fate(self) -> str:
        """What became of the file, in words."""
        if self.rejection is not None:
            return f"rejected: {self.rejection.reason}"
        if self.other:
            return f"left out, for it is {self.other}, not a bill of FOCUS"
        return f"left out, for {self.same_as} holds the same bytes" if self.same_as else "loaded"


@dataclass(frozen=True)
class Total:
    """Of the rows in one currency; exact decimals as text."""

    currency: str | None
    rows: int
    billed_cost: str
    effective_cost: str


@dataclass(frozen=True)
class Part:
    """Files that were read together, and the Parquet file `<identity>.parquet` of their rows, one after the other.

    identity: of the names and bytes of the files, and of the code and settings that read them; a later delivery that
    has the same files takes the part as it is. files: in the order of their rows, all of one layout; those that are
    not staged have none. rows, size, sha256 (hex): of the Parquet file; 0 and "" where no row is staged.
    """

    identity: str
    files: list[StagedFile]
    rows: int = 0
    size: int = 0
    sha256: str = ""
    totals: list[Total] = field(default_factory=list)


@dataclass(frozen=True)
class StagedMonth:
    """What is staged of a delivery.

    identity: changes with the delivery, and with the code and data that read it. folder: where the Parquet files are.
    parts: in the order of their rows. beside: files that are in none: copies of others, and those of another kind.
    order_of_files: keys of all files in the order of the delivery. declared: see Delivery. order: see LandedDelivery.
    """

    connection: str
    month: str
    token: str
    listed_at: str
    identity: str
    folder: Path
    parts: list[Part]
    beside: list[StagedFile] = field(default_factory=list)
    order_of_files: list[str] = field(default_factory=list)
    declared: bool = False
    order: int = 0

    @property
    def paths(self) -> tuple[Path, ...]:
        """The Parquet files that hold its rows, in their order; none where it has no row."""
        return tuple(self.folder / parquet_name(part.identity) for part in self.staged_parts)

    @cached_property
    def staged_parts(self) -> list[Part]:
        """The parts that have rows."""
        return [part for part in self.parts if part.rows]

    @cached_property
    def rows(self) -> int:
        return sum(part.rows for part in self.parts)

    @cached_property
    def size(self) -> int:
        """Bytes of its Parquet files."""
        return sum(part.size for part in self.parts)

    @cached_property
    def totals(self) -> list[Total]:
        """Of all rows, by currency, those without one at the end."""
        totals: dict[str | None, Total] = {}
        for total in (total for part in self.parts for total in part.totals):
            before = totals.get(total.currency, Total(total.currency, 0, "0", "0"))
            totals[total.currency] = Total(
                total.currency,
                before.rows + total.rows,
                exact_sum(before.billed_cost, total.billed_cost),
                exact_sum(before.effective_cost, total.effective_cost),
            )
        return sorted(totals.values(), key=lambda total: (total.currency is None, total.currency))

    @cached_property
    def files(self) -> list[StagedFile]:
        """Every delivered file, in the order of the delivery."""
        found = {file.key: file for file in (*self.beside, *(file for part in self.parts for file in part.files))}
        return [found[key] for key in self.order_of_files]

    @property
    def is_intact(self) -> bool:
        """Whether its Parquet files are there as they were written."""
        return all(is_intact(part, self.folder) for part in self.parts)

    @cached_property
    def accepted_files(self) -> list[StagedFile]:
        """Those whose rows are staged, in the order of their rows."""
        return [file for part in self.parts for file in part.files if file.is_staged]

    @cached_property
    def rejected_files(self) -> list[StagedFile]:
        return [file for file in self.files if file.rejection is not None]

    @cached_property
    def layouts(self) -> list[Layout]:
        """Of the files, each once; x_Layout of a row is a place in this list, see staged_rows.rows_of_month."""
        return list(dict.fromkeys(file.layout for part in self.parts for file in part.files))

    @cached_property
    def rows_of(self) -> dict[Layout, int]:
        """Layout of files that are not rejected, and have columns -> how many rows they have."""
        rows: dict[Layout, int] = {}
        for file in self.accepted_files:
            if file.layout.columns:
                rows[file.layout] = rows.get(file.layout, 0) + file.rows
        return rows

    def source_of(self, staged_row: int) -> tuple[StagedFile, int]:
        """The file that a row of the month (from 0) comes from and its number in it, from 1, header not counted."""
        files, starts = self._with_starts
        place = bisect_right(starts, staged_row) - 1
        if place < 0 or staged_row >= starts[place] + files[place].rows:
            raise LookupError(f"row {staged_row} is in none of the files of {self.folder}")
        return files[place], staged_row - starts[place] + 1

    @cached_property
    def _with_starts(self) -> tuple[list[StagedFile], list[int]]:
        files = [file for file in self.accepted_files if file.rows]
        return files, list(accumulate((file.rows for file in files[:-1]), initial=0))


def exact_sum(*amounts: str) -> str:
    """Of exact decimals as text.

    >>> exact_sum("0.000000000000000001", "99999999999999999999")
    '99999999999999999999.000000000000000001'
    """
    total = Decimal(0)
    for amount in amounts:
        total = _EXACT.add(total, Decimal(amount))
    return str(total)


def parquet_name(identity: str) -> str:
    """Of the file that holds the rows of a part."""
    return f"{identity}.parquet"


def is_intact(part: Part, folder: Path) -> bool:
    """Whether the Parquet file of a part, where it has rows, is there as it was written."""
    path = folder / parquet_name(part.identity)
    return not part.rows or (path.exists() and path.stat().st_size == part.size and sha256(path) == part.sha256)


@dataclass(frozen=True)
class _RecordedFile(StagedFile):
    """A StagedFile as it is recorded. layout: its place in the report's list, where each layout stands once."""

    layout: int = 0  # type: ignore[assignment]


@dataclass(frozen=True)
class _RecordedPart:
    identity: str
    files: list[_RecordedFile]
    rows: int
    size: int
    sha256: str
    totals: list[Total]


@dataclass(frozen=True)
class Report:
    """A StagedMonth as it is recorded beside its Parquet files."""

    connection: str
    month: str
    token: str
    listed_at: str
    identity: str
    layouts: list[Layout]
    parts: list[_RecordedPart]
    beside: list[StagedFile]
    order_of_files: list[str]
    declared: bool
    order: int


def report_path(connection: str, month: str, token: str, data_dir: DataDir) -> Path:
    """Where the report of what is staged of a delivery is recorded."""
    return data_dir.staged(connection, month) / f"{token}.staged.json"


def staged_month(connection: str, month: str, token: str, data_dir: DataDir) -> StagedMonth | None:
    """The report of an earlier stage(), None where there is none."""
    path = report_path(connection, month, token, data_dir)
    report = read_record(path, Report)
    if report is None:
        return None
    parts = [
        Part(**vars(part) | {"files": [_read(file, report.layouts) for file in part.files]}) for part in report.parts
    ]
    content = vars(report) | {"folder": path.parent, "parts": parts}
    del content["layouts"]
    return StagedMonth(**content)


def parts_of_other_deliveries(connection: str, month: str, token: str, data_dir: DataDir) -> dict[str, Part]:
    """Identity -> the part, of all that is staged of the month for other deliveries than this one."""
    reports = data_dir.staged(connection, month).glob("*.staged.json")
    tokens = sorted(path.name.removesuffix(".staged.json") for path in reports)
    staged = (staged_month(connection, month, other, data_dir) for other in tokens if other != token)
    return {part.identity: part for one in staged if one is not None for part in one.parts}


def record_staged(staged: StagedMonth, data_dir: DataDir) -> None:
    """Writes the report, where it is another one than before."""
    places = {layout: place for place, layout in enumerate(staged.layouts)}
    parts = []
    for part in staged.parts:
        files = [_RecordedFile(**vars(file) | {"layout": places[file.layout]}) for file in part.files]
        parts.append(_RecordedPart(**vars(part) | {"files": files}))
    names = [field.name for field in fields(Report) if field.name not in ("layouts", "parts")]
    report = Report(**{name: getattr(staged, name) for name in names}, layouts=staged.layouts, parts=parts)
    write_record(report_path(staged.connection, staged.month, staged.token, data_dir), report)


def _read(file: _RecordedFile, layouts: list[Layout]) -> StagedFile:
    return StagedFile(**vars(file) | {"layout": layouts[file.layout]})
