"""A validation as JSON, JUnit XML or an HTML page."""

import json
from dataclasses import asdict
from importlib import resources
from xml.etree import ElementTree

from jinja2 import Environment

from focus_pipeline.focus.rules import rules
from focus_pipeline.pipeline.examples import described
from focus_pipeline.pipeline.verdict import RuleVerdict
from focus_pipeline.reports.outcome import failures, fate, outcome
from focus_pipeline.validate import Validation
from focus_pipeline.visible import visible


def as_json(validation: Validation) -> str:
    """accepted, score, files, totals, and every rule with its verdict, counts and examples.

    Costs are text, for a JSON number would not hold them. `rules` has the fields of verdict.RuleVerdict, with the
    rule's sentence and remedy; `failures` are those of the checks, as people read them.
    """
    verdict, staged = validation.verdict, validation.staged
    content = {
        "accepted": verdict.accepted,
        "score": verdict.score,
        "rows": staged.rows,
        "files": [
            {
                "file": file.key,
                "bytes": file.size,
                "format": file.layout.format,
                "focus_version": file.layout.focus_version,
                "rows": file.rows,
                "rejected": file.rejection and file.rejection.reason,
                "changed": file.changed,
            }
            for file in staged.files
        ],
        "totals": [asdict(total) for total in staged.totals],
        "failures": [asdict(failure) | {"severity": failure.severity} for failure in failures(validation)],
        "rules": [asdict(rule) | _about(rule) for rule in verdict.rules],
    }
    text = json.dumps(content, indent=2, ensure_ascii=False) + "\n"
    # A terminal may obey what JSON does not ask to be escaped.
    return "".join(c if c.isprintable() or c == "\n" else json.dumps(c)[1:-1] for c in text)


def as_junit(validation: Validation) -> str:
    """A test suite per check and a test case per rule; a rule below ERROR that is broken is a skipped one."""
    suites = ElementTree.Element("testsuites", name="focus-pipeline validate")
    for check in validation.verdict.checks:
        judged = [rule for rule in validation.verdict.rules if rule.check == check.name]
        if not judged:
            continue
        suite = ElementTree.SubElement(
            suites,
            "testsuite",
            name=check.name,
            tests=str(len(judged)),
            failures=str(sum(rule.severity == "ERROR" for rule in judged)),
            skipped=str(sum(_is_skipped(rule) for rule in judged)),
        )
        for rule in judged:
            case = ElementTree.SubElement(
                suite, "testcase", classname=f"{check.name}.{rule.column or 'all'}", name=rule.rule
            )
            if rule.severity == "ERROR":
                failure = ElementTree.SubElement(case, "failure", type=rule.level, message=_message(rule, validation))
                failure.text = "\n".join(visible(described(example)) for example in rule.examples)
            elif _is_skipped(rule):
                told = f"{rule.severity}: {_message(rule, validation)}" if rule.severity else rule.verdict
                ElementTree.SubElement(case, "skipped", message=told)
    ElementTree.indent(suites)
    return ElementTree.tostring(suites, encoding="unicode", xml_declaration=True) + "\n"


def as_html(validation: Validation) -> str:
    """One page that needs no other file."""
    template = resources.files(__package__).joinpath("page.html.jinja").read_text("utf-8")
    environment = Environment(autoescape=True, trim_blocks=True, lstrip_blocks=True, finalize=_shown)
    return environment.from_string(template).render(
        verdict=validation.verdict,
        staged=validation.staged,
        failures=failures(validation),
        fate=lambda file: fate(file, validation),
        outcome=outcome(validation),
        described=described,
        judged=[rule for rule in validation.verdict.rules if rule.verdict != "not applicable"],
    )


def _shown(value: object) -> object:
    return visible(value) if isinstance(value, str) else value


def _about(rule: RuleVerdict) -> dict[str, object]:
    known = rules().get(f"{rule.rule} {rule.column}")
    if known is None:
        return {}
    return {"sentence": known.sentence, "remedy": known.remedy, "narrowed": known.narrowed, "also": list(known.also)}


def _is_skipped(rule: RuleVerdict) -> bool:
    return rule.verdict == "not applicable" or rule.severity in ("WARN", "NOTE")


def _message(rule: RuleVerdict, validation: Validation) -> str:
    gap = f"known gap of {rule.gap}: " if rule.gap else ""
    if (sentence := _about(rule).get("sentence")) is None:
        # No rule of the specification: what was found says more.
        return gap + " · ".join(visible(one.sentence) for one in failures(validation) if one.rule == rule.rule)
    return f"{gap}{sentence}; {rule.violations:,} violations in {rule.rows:,} rows"
