"""A validation as JSON, JUnit XML or an HTML page."""

import json
from collections import Counter
from dataclasses import asdict
from decimal import Context, Decimal
from importlib import resources
from xml.etree import ElementTree

from jinja2 import Environment
from markupsafe import Markup

from focus_pipeline.focus.rules import HEADER, Rule, rules, rules_of
from focus_pipeline.pipeline.examples import described, place, values
from focus_pipeline.pipeline.verdict import CHECKS
from focus_pipeline.records.verdicts import RuleVerdict
from focus_pipeline.reports.outcome import extent, failures, fate, groups, outcome
from focus_pipeline.validate import Validation
from focus_pipeline.visible import visible

# Python's own decimals are rounded to 28 digits.
_EXACT = Context(prec=80)


def as_json(validation: Validation) -> str:
    """verdict, accepted, score, files, totals, and every rule with its verdict, counts and examples.

    Costs are text, for a JSON number would not hold them. `rules` has the fields of verdict.RuleVerdict, with the
    rule's sentence and remedy; `failures` are those of the checks, as people read them.
    """
    verdict, staged = validation.verdict, validation.staged
    content = {
        "verdict": outcome(validation).sentence,
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
    judged = [rule for rule in validation.verdict.rules if rule.verdict != "not applicable"]
    kept = [rule for rule in judged if rule.verdict == "passed"]
    page = environment.from_string(template).render(
        outcome=outcome(validation),
        verdict=validation.verdict,
        staged=validation.staged,
        groups=groups(validation),
        judged=len(judged),
        not_applicable=len(validation.verdict.rules) - len(judged),
        kept={check: [rule for rule in kept if rule.check == check] for check in CHECKS},
        judged_by=Counter(rule.check for rule in judged),
        checks=CHECKS,
        sentence=lambda rule: _about(rule).get("sentence", rule.check),
        **{function.__name__: function for function in (extent, place, values, in_cents, exactly)},
        fate=lambda file: fate(file, validation),
    )
    return page.lstrip() + "\n"


def in_cents(amount: str) -> str:
    """An exact amount as people read it.

    >>> in_cents("1234567.895000000000000000")
    '1,234,567.90'
    """
    return f"{_EXACT.quantize(Decimal(amount), Decimal('0.01')):,}"


def exactly(amount: str) -> str:
    """An exact amount without the zeros at its end, and with at least two decimals.

    >>> exactly("1234567.895000000000000000")
    '1,234,567.895'
    """
    whole, _, decimals = f"{Decimal(amount):,f}".partition(".")
    return f"{whole}.{decimals.rstrip('0').ljust(2, '0')}"


def _shown(value: object) -> object:
    # What a macro of the page gives is made of what was shown by it.
    return visible(value) if isinstance(value, str) and not isinstance(value, Markup) else value


def _about(rule: RuleVerdict) -> dict[str, object]:
    if (known := _known(rule)) is None:
        return {}
    return {"sentence": known.sentence, "remedy": known.remedy, "narrowed": known.narrowed, "also": list(known.also)}


def _known(rule: RuleVerdict) -> Rule | None:
    """The rule of the specification, None for what was found beyond it."""
    of_header = (known for known in rules_of(HEADER) if known.id == rule.rule and not rule.column)
    return rules().get(f"{rule.rule} {rule.column}") or next(of_header, None)


def _is_skipped(rule: RuleVerdict) -> bool:
    return rule.verdict == "not applicable" or rule.severity in ("WARN", "NOTE")


def _message(rule: RuleVerdict, validation: Validation) -> str:
    gap = f"known gap of {rule.gap}: " if rule.gap else ""
    known = _known(rule)
    if known is None or known.kind == HEADER:
        # What was found says more: it names files and columns.
        return gap + " · ".join(visible(one.sentence) for one in failures(validation) if one.rule == rule.rule)
    return f"{gap}{known.sentence}; {rule.violations:,} violations in {rule.rows:,} rows"
