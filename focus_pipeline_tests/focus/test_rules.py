"""The rules as data: complete, each in one place, and all of them usable."""

from collections import Counter

from focus_pipeline.focus.rules import GROUP, ROW, pandera_checks, rules
from focus_pipeline.focus.specification import columns, judged_as, known_gaps, rule_data, unchecked, versions
from focus_pipeline.pipeline.verdict import CHECKS

# Parts of a rule that the model has as one, rules of FOCUS 1.3, and one of this project.
NOT_IN_THE_MODEL = {
    "AllocatedMethodDetails-O",
    "BillingPeriodEnd-C-004-M/month",
    "CAU-ServiceProviderName",
    "CommitmentDiscountQuantity-C-007-C/Category",
    "ConsumedQuantity-C-004-C/Unused",
    "NullHandling-A-002-M/NULL",
    "NullHandling-A-002-M/empty",
    "repeated-row",
}

ATOMIC_RULES_OF_THE_OFFICIAL_MODEL_1_2 = 478


def test_each_atomic_rule_of_the_official_model_is_judged_or_said_not_to_be_in_one_place() -> None:
    of_columns = [rule_id for column in columns().values() for rule_id in column.ids.values()]
    declared = [rule_id for key, facts in rule_data()["rules"].items() for rule_id in (key, *facts.get("also", ()))]
    not_judged = [rule_id for ids in unchecked().values() for rule_id in ids]
    places = Counter([*of_columns, *declared, *not_judged])
    assert [rule_id for rule_id, count in places.items() if count > 1] == []
    assert set(places) >= NOT_IN_THE_MODEL
    assert len(set(places) - NOT_IN_THE_MODEL) == ATOMIC_RULES_OF_THE_OFFICIAL_MODEL_1_2


def test_what_is_not_judged_has_a_reason() -> None:
    assert all(len(reason) > 40 and ids for reason, ids in unchecked().items())


def test_every_rule_can_be_reported() -> None:
    assert all(rule.check in CHECKS and rule.sentence and rule.remedy for rule in rules().values())


def test_every_rule_about_values_is_a_pandera_check() -> None:
    assert set(pandera_checks()) == {key for key, rule in rules().items() if rule.kind in (ROW, GROUP)}


def test_a_known_gap_is_of_rules_that_there_are() -> None:
    judged = {rule.id for rule in rules().values()}
    assert {rule_id for gap in known_gaps() for rule_id in gap.rules} <= judged


def test_a_declared_version_is_judged_by_the_rules_of_the_version_that_it_is_of() -> None:
    declared = ["1.0-preview", "1.0", "1.0r2", "1.1", "1.2-preview", "v1.2", "1.3", "1.4", "1.9", "2.0", "latest"]
    assert [judged_as(version) for version in declared] == [
        "1.0", "1.0", "1.0", "1.1", "1.2", "1.2", "1.3", "1.4", versions()[-1], versions()[-1], "1.0",
    ]  # fmt: skip
