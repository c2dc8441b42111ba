"""What the documentation names is there: tests, files, links, make targets."""

import re
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parents[1]
PAGES = [REPOSITORY / "README.md", *sorted((REPOSITORY / "docs").rglob("*.md"))]


def written_tests() -> set[str]:
    tests = (REPOSITORY / "focus_pipeline_tests").rglob("test_*.py")
    return {name for file in tests for name in re.findall(r"^def (test_\w+)", file.read_text(), re.MULTILINE)}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(REPOSITORY).as_posix())
def test_a_page_names_only_what_is_there(page: Path) -> None:
    text = page.read_text()
    named = set(re.findall(r"`(test_\w+)`", text))
    assert named <= written_tests()
    links = [link.partition("#")[0] for link in re.findall(r"\]\(([^)]+)\)", text) if "://" not in link]
    assert [link for link in links if link and not (page.parent / link).exists()] == []
    files = re.findall(r"`((?:focus_pipeline|focus_pipeline_tests|docs)/[\w./-]+)`", text)
    scaffolded = "focus_pipeline/defs/colo_costs/defs.yaml"
    assert [file for file in files if file != scaffolded and not (REPOSITORY / file).exists()] == []
    targets = re.findall(r"^(\w+):", (REPOSITORY / "Makefile").read_text(), re.MULTILINE)
    assert set(re.findall(r"`make (\w+)`", text)) <= set(targets)
