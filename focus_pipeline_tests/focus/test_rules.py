"""The rules as data: complete, each in one place, and all of them usable."""

from collections import Counter
from random import Random

import pytest

from focus_pipeline.focus.rules import GROUP, ROW, pandera_checks, rules
from focus_pipeline.focus.specification import (
    columns,
    columns_of,
    detect_version,
    judged_as,
    known_gaps,
    rule_data,
    unchecked,
    versions,
)
from focus_pipeline.pipeline.verdict import CHECKS

# Parts of a rule that the model has as one, rules of FOCUS 1.3, and one of this project.
NOT_IN_THE_MODEL = {
    "BillingPeriodEnd-C-004-M/month",
    "CAU-AllocatedMethodDetails-C-005-C",
    "CAU-AllocatedMethodDetails-C-006-C",
    "CAU-AllocatedMethodDetailsObject-O-001-M",
    "CAU-AllocatedMethodDetailsObject-O-002-M",
    "CAU-AllocatedMethodDetailsObject-O-009-C",
    "CAU-AllocatedMethodDetailsObject-O-012-M",
    "CAU-AllocatedMethodDetailsObject-O-013-M",
    "CAU-AllocatedMethodDetailsObject-O-014-M",
    "CAU-AllocatedMethodDetailsObject-O-016-C",
    "CAU-AllocatedMethodId-C-005-C",
    "CAU-AllocatedMethodId-C-005-C/Details",
    "CAU-AllocatedMethodId-C-005-C/Tags",
    "CAU-AllocatedResourceName-C-004-C",
    "CAU-AllocatedResourceName-C-005-C",
    "CAU-AllocatedTags-C-003-C",
    "CAU-CostAndUsage-D-070-C",
    "CAU-CostAndUsage-D-072-C",
    "CAU-ServiceProviderName",
    "CommitmentDiscountQuantity-C-007-C/Category",
    "ConsumedQuantity-C-004-C/Unused",
    "NullHandling-A-002-M/NULL",
    "NullHandling-A-002-M/empty",
    "PricingCategory-C-009-C/Purchase",
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


def smallest(version: str) -> set[str]:
    """The columns of the smallest file that conforms to a version."""
    return {name for name, column in columns_of(version).items() if column.level == "Mandatory"}


@pytest.mark.parametrize("version", versions())
def test_the_smallest_conformant_file_of_each_version_lacks_nothing_of_the_version_it_is_judged_as(
    version: str,
) -> None:
    """1.0, 1.1 and 1.2 ask for the same columns."""
    told = detect_version(smallest(version))
    assert smallest(told) == smallest(version)
    assert told == {"1.1": "1.0", "1.2": "1.0"}.get(version, version)


@pytest.mark.parametrize("version", versions())
def test_a_file_with_all_columns_of_a_version_is_of_that_one(version: str) -> None:
    assert detect_version(columns_of(version)) == version
    assert detect_version(name.upper() + " " for name in columns_of(version)) == version


@pytest.mark.parametrize("version", versions())
def test_no_conditional_column_makes_a_conformant_file_lack_a_mandatory_one(version: str) -> None:
    conditional = [name for name, column in columns().items() if column.level == "Conditional"]
    random = Random(int(version.replace(".", "")))
    for _ in range(200):
        sent = smallest(version) | set(random.sample(conditional, random.randrange(len(conditional))))
        told = detect_version(sent)
        assert smallest(told) == smallest(version), f"{sorted(sent - smallest(version))} is judged as {told}"


@pytest.mark.parametrize(
    ("changed", "version"),
    [
        ({"-PublisherName", "-ProviderName", "ServiceProviderName"}, "1.4"),
        ({"ServiceProviderName"}, "1.0"),
        ({"-PublisherName"}, "1.0"),
        ({"-PublisherName", "-ProviderName"}, "1.0"),
        ({"-PublisherName", "-ProviderName", "Provider", "Publisher"}, "1.0-preview"),
        ({"HostProviderName", "ServiceProviderName", "InvoiceDetailId"}, "1.3"),
        ({"HostProviderName", "ServiceProviderName", "-BilledCost", "-ChargeClass"}, "1.3"),
        ({"SkuMeter"}, "1.0"),
        ({"SkuMeter", "SkuPriceDetails", "CommitmentDiscountQuantity", "ServiceSubcategory"}, "1.1"),
    ],
    ids=lambda value: " ".join(sorted(value)) if isinstance(value, set) else value,
)
def test_a_file_that_is_not_quite_of_a_version_is_of_the_nearest(changed: set[str], version: str) -> None:
    sent = smallest("1.0") | changed
    assert detect_version({n for n in sent if not n.startswith("-") and f"-{n}" not in sent}) == version
