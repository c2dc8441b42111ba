"""What is staged of a month: which rows of which files, what each file was found to be, and the report of it."""

from bisect import bisect_right
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

from focus_pipeline.files import sha256
from focus_pipeline.records.record import read_record, write_record
from focus_pipeline.storage import DataDir

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

    layout: of a file that cannot be read, one without columns. first_row: number of its first row in the staged file,
    from 0. rows, billed_cost, effective_cost, providers, rounded, changed, broken: see source_counts.Counted; they are
    counted in the delivered file itself, apart from the staging. lines: of a CSV file; 0 of one that has none, or was
    not read. same_as: the file of the delivery that holds the same bytes and is counted in its place, "" where there is
    none. other: what it is in place of a bill, see specification.other_dataset.
    """

    key: str
    size: int
    layout: Layout = UNKNOWN_LAYOUT
    rows: int = 0
    billed_cost: dict[str, str] = field(default_factory=dict)
    effective_cost: dict[str, str] = field(default_factory=dict)
    first_row: int = 0
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
class StagedMonth:
    """What was staged of a delivery.

    identity: changes with the delivery, and with the code and data that read it. declared: see Delivery. order: see
    LandedDelivery. size, sha256 (hex): of the Parquet file at `path`.
    """

    connection: str
    month: str
    token: str
    listed_at: str
    identity: str
    path: Path
    rows: int
    size: int
    totals: list[Total]
    files: list[StagedFile]
    declared: bool = False
    order: int = 0
    sha256: str = ""

    @property
    def paths(self) -> tuple[Path, ...]:
        """The Parquet files that hold its rows, in their order."""
        return (self.path,)

    @property
    def is_intact(self) -> bool:
        """Whether the Parquet file is there as it was written."""
        is_there = self.path.exists() and self.path.stat().st_size == self.size
        # An earlier version of this project has recorded no SHA-256.
        return is_there and (not self.sha256 or sha256(self.path) == self.sha256)

    @cached_property
    def accepted_files(self) -> list[StagedFile]:
        """Those whose rows are staged, in the order of their rows."""
        return sorted((file for file in self.files if file.is_staged), key=lambda file: file.first_row)

    @cached_property
    def rejected_files(self) -> list[StagedFile]:
        return [file for file in self.files if file.rejection is not None]

    @cached_property
    def layouts(self) -> list[Layout]:
        """Of the files, each once; x_Layout of a staged row is a place in this list."""
        return list(dict.fromkeys(file.layout for file in self.files))

    @cached_property
    def rows_of(self) -> dict[Layout, int]:
        """Layout of files that are not rejected, and have columns -> how many rows they have."""
        rows: dict[Layout, int] = {}
        for file in self.accepted_files:
            if file.layout.columns:
                rows[file.layout] = rows.get(file.layout, 0) + file.rows
        return rows

    def source_of(self, staged_row: int) -> tuple[StagedFile, int]:
        """The file that a staged row (from 0) comes from and the row's number in it, from 1, header not counted."""
        files = [file for file in self.accepted_files if file.rows]
        place = bisect_right(files, staged_row, key=lambda file: file.first_row) - 1
        if place < 0 or staged_row >= files[place].first_row + files[place].rows:
            raise LookupError(f"row {staged_row} is in none of the files of {self.path}")
        return files[place], staged_row - files[place].first_row + 1


@dataclass(frozen=True)
class _ReportedFile(StagedFile):
    """A StagedFile as it is recorded. layout: its place in the report's list, where each layout stands once."""

    layout: int = 0


@dataclass(frozen=True)
class Report:
    """A StagedMonth as it is recorded beside its Parquet file."""

    connection: str
    month: str
    token: str
    listed_at: str
    identity: str
    path: str
    rows: int
    size: int
    totals: list[Total]
    layouts: list[Layout]
    files: list[_ReportedFile]
    declared: bool = False
    order: int = 0
    sha256: str = ""


def staged_month(connection: str, month: str, token: str, data_dir: DataDir) -> StagedMonth | None:
    """The report of an earlier stage(), None where there is none."""
    folder = data_dir.staged(connection, month)
    report = read_record(folder / f"{token}.staged.json", Report)
    if report is None:
        return None
    content = vars(report) | {
        "path": folder / report.path,
        "files": [StagedFile(**vars(file) | {"layout": report.layouts[file.layout]}) for file in report.files],
    }
    del content["layouts"]
    return StagedMonth(**content)


def record_staged(staged: StagedMonth) -> StagedMonth:
    """Writes the report beside the staged file, which it returns."""
    places = {layout: place for place, layout in enumerate(staged.layouts)}
    facts = {name: getattr(staged, name) for name in Report.__dataclass_fields__ if name != "layouts"}
    files = [_ReportedFile(**vars(file) | {"layout": places[file.layout]}) for file in staged.files]
    report = Report(**facts | {"path": staged.path.name, "layouts": staged.layouts, "files": files})
    path = staged.path.with_suffix(".staged.json")
    write_record(path, report)
    # A mark that a run is at work with it; see publish._not_in_use.
    path.touch()
    return staged
