"""Tells whether what breaks a rule is a known gap of its provider, see focus/known_gaps.toml."""

from focus_pipeline.focus.specification import KnownGap, known_gaps
from focus_pipeline.records.staged import Layout, StagedFile


def gap_of_rows(rule_id: str, provider: str | None, file: StagedFile) -> str | None:
    """ "AWS 1.0" where rows of that provider in a file of that version are known to break the rule."""
    return _label(rule_id, file, [provider or ""])


def gap_of_file(rule_id: str, file: StagedFile) -> str | None:
    """The same of what is true of the file as a whole: all of its rows are of the provider."""
    return _label(rule_id, file, file.providers)


def is_of_version(layout: Layout, gap: KnownGap) -> bool:
    return not gap.versions or layout.focus_version in gap.versions


def _label(rule_id: str, file: StagedFile, providers: list[str]) -> str | None:
    for gap in known_gaps():
        names = [provider.lower() for provider in providers]
        if rule_id in gap.rules and is_of_version(file.layout, gap) and names and set(names) <= set(gap.names):
            return f"{gap.provider} {file.layout.focus_version}"
    return None
