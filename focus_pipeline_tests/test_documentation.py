"""What the documentation names is there: tests, files, links, make targets."""

import re
import subprocess
import sys
from functools import cache
from pathlib import Path

import click
import pytest

from focus_pipeline.cli import main
from focus_pipeline.pipeline.verdict import CHECKS
from focus_pipeline.reports.specification import as_markdown

REPOSITORY = Path(__file__).resolve().parents[1]
PAGES = [
    REPOSITORY / "README.md",
    REPOSITORY / "CONTRIBUTING.md",
    REPOSITORY / "CHANGELOG.md",
    *sorted((REPOSITORY / "docs").rglob("*.md")),
]


def written_tests() -> set[str]:
    tests = (REPOSITORY / "focus_pipeline_tests").rglob("test_*.py")
    return {name for file in tests for name in re.findall(r"^def (test_\w+)", file.read_text(), re.MULTILINE)}


def scaffolded_names(text: str) -> list[str]:
    """Names of the connections that a page tells its reader to make."""
    return re.findall(r"dg scaffold defs focus_pipeline\.\w+ (\w+)", text)


def test_the_connection_that_the_readme_makes_is_not_there_yet() -> None:
    shipped = {file.parent.name for file in (REPOSITORY / "focus_pipeline" / "defs").rglob("defs.yaml")}
    (name,) = scaffolded_names((REPOSITORY / "README.md").read_text())
    assert name not in shipped


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(REPOSITORY).as_posix())
def test_a_page_names_only_what_is_there(page: Path) -> None:
    text = page.read_text()
    named = set(re.findall(r"`(test_\w+)`", text))
    assert named <= written_tests()
    links = [link.partition("#")[0] for link in re.findall(r"\]\(([^)]+)\)", text) if "://" not in link]
    assert [link for link in links if link and not (page.parent / link).exists()] == []
    files = re.findall(r"`((?:focus_pipeline|focus_pipeline_tests|docs)/[\w./-]+)`", text)
    scaffolded = {f"focus_pipeline/defs/{name}/defs.yaml" for name in scaffolded_names(text)}
    assert [file for file in files if file not in scaffolded and not (REPOSITORY / file).exists()] == []
    targets = re.findall(r"^(\w+):", (REPOSITORY / "Makefile").read_text(), re.MULTILINE)
    assert set(re.findall(r"`make (\w+)`", text)) <= set(targets)


def written_commands() -> list[str]:
    """Every command of this project and of Dagster that a page, a template, a message or a docstring names."""
    sources = [*PAGES, REPOSITORY / "Makefile"]
    sources += [file for kind in ("py", "yaml") for file in (REPOSITORY / "focus_pipeline").rglob(f"*.{kind}")]
    commands = set()
    for source in sources:
        text = source.read_text("utf-8")
        commands.update(re.findall(r"`((?:focus-pipeline|dg|dagster) [^`\n]+)`", text))
        if source.suffix == ".md":
            for block in re.findall(r"```sh\n(.*?)```", text, re.DOTALL):
                lines = (line.strip().removeprefix(".venv/bin/").partition("  #")[0] for line in block.splitlines())
                commands.update(line for line in lines if line.startswith(("focus-pipeline ", "dg ", "dagster ")))
    return sorted(commands)


@cache
def described(*command: str) -> str:
    """What a command of Dagster says to --help."""
    program = Path(sys.executable).with_name(command[0])
    answer = subprocess.run(
        [str(program), *command[1:], "--help"], capture_output=True, text=True, check=False, cwd=REPOSITORY
    )
    assert answer.returncode == 0, f"there is no command {' '.join(command)}: {answer.stderr[-300:]}"
    return answer.stdout


@pytest.mark.parametrize("command", written_commands())
def test_a_command_that_is_written_somewhere_exists_with_its_options(command: str) -> None:
    words = command.split()
    options = [word.partition("=")[0] for word in words if word.startswith("--")]
    if words[0] == "focus-pipeline":
        group: click.Command = main
        for word in words[1:]:
            if not isinstance(group, click.Group):
                break
            assert word in group.commands, f"there is no command {command}"
            group = group.commands[word]
        known = {name for parameter in group.params for name in parameter.opts} | {"--help"}
        assert set(options) <= known
    else:
        depth = next((place for place, word in enumerate(words) if not re.fullmatch(r"[a-z][a-z-]*", word)), len(words))
        said = described(*words[:depth])
        assert all(re.search(rf"{option}\b", said) for option in options)


def test_the_page_of_the_specification_is_the_one_that_its_data_gives() -> None:
    page = REPOSITORY / "docs" / "specification.md"
    assert page.read_text() == as_markdown(), "make docs writes it anew"


def test_the_checks_are_counted_as_they_are_with_and_without_the_month_rule() -> None:
    in_words = {15: "fifteen", 16: "sixteen"}
    without, all_of_them = in_words[len(CHECKS) - 1], in_words[len(CHECKS)]
    assert f"{without} or {all_of_them} checks" in (REPOSITORY / "README.md").read_text()
    glossary = (REPOSITORY / "docs" / "glossary.md").read_text()
    assert f"{all_of_them.capitalize()} for files in folders by month; {without}, without `charge_month`" in glossary
