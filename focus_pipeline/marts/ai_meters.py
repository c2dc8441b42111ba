"""Tells what the meter of an AI service counts: model, direction, tier, unit. Rules and words are in ai_meters.toml.

Rules come first, in their order: they tell charges that are not usage, and usage that is not counted in tokens. Next
come the keys of SkuPriceDetails that FOCUS 1.5 announces. Last come the words of the meter, by the grammar that all
providers share.
"""

import re
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cache
from importlib import resources
from pathlib import Path

NOT_AI = "not AI"
NOT_USAGE = "not usage (credit)"
UNCLASSIFIED = "unclassified"

FIELDS = (
    "ChargeCategory",
    "ChargeDescription",
    "ConsumedUnit",
    "PricingUnit",
    "ResourceType",
    "ServiceName",
    "SkuMeter",
    "SkuPriceId",
    "line_item",
    "model",
    "token_type",
    "service_tier",
    "x_Model",
    "x_Operation",
    "x_PricingUnitDescription",
    "x_ServiceCode",
    "x_SkuMeterName",
    "x_SkuMeterSubcategory",
    "x_TokenType",
    "x_UsageType",
)
"""Fields of a charge that are read: columns of FOCUS, and the providers' own."""

# From the first that is there: what rules call `meter`, and whose words are read.
_METERS = ("x_SkuMeterName", "SkuMeter", "x_UsageType", "token_type", "line_item", "x_TokenType", "ChargeDescription")

_EDITION = re.compile(r"^(?:OpenAI )?(?P<model>.+?) \(Amazon Bedrock Edition\)$")
_AMAZON = re.compile(r"(?i)bedrock|sagemaker|^MP:|-MP:|InvokeModel")
_REGION = re.compile(r"^[A-Z]{2,4}[0-9]?-(?=.)|(?<=MP:)[A-Z]{2,4}[0-9]?_")
_PER = re.compile(r"(?i)^\s*(?:per )?(?P<number>[0-9][0-9,]*)\s*(?P<times>K|M|thousand|million)?\b")
# What counts tokens; a meter of token requests, of an identity service, counts requests.
_TOKENS = re.compile(r"(?i)\btokens?$")
_TIMES = {"": 1, "k": 1_000, "thousand": 1_000, "m": 1_000_000, "million": 1_000_000}
_IN_CAPITALS = ("gpt", "oss", "it", "vl", "ai")


@dataclass(frozen=True)
class Meter:
    """model: as the provider's meters name it; "" where the charge is of none, "unknown" where nothing says which one.

    direction, unit, tier: words of ai_meters.toml. per: how many of the unit the PricingQuantity counts in, 0 where it
    counts none. by: what said so.
    """

    model: str
    direction: str
    unit: str
    per: int
    tier: str
    by: str

    @property
    def family(self) -> str:
        """What its models are called together, such as gpt, claude or text-embedding; "" without a model."""
        name = self.model.lower().removeprefix("fw-")
        found = re.match(r"text-embedding|[a-z]+", name)
        return found[0] if found and name != "unknown" else ""


@dataclass(frozen=True)
class _Rule:
    name: str
    when: Mapping[str, re.Pattern]
    direction: str | None = None
    unit: str | None = None
    per: int | None = None
    tier: str | None = None
    model: str | None = None
    examples: Sequence[Mapping[str, str]] = field(default_factory=tuple)

    def groups(self, charge: Mapping[str, str]) -> dict[str, str] | None:
        """What the rule's expressions found in a charge that it fits; None for another."""
        found: dict[str, str] = {}
        for name, pattern in self.when.items():
            match = pattern.search(charge.get(name, ""))
            if match is None:
                return None
            found |= {group: text for group, text in match.groupdict().items() if text is not None}
        return found


class RulesUnusable(ValueError):
    """A file of rules has a fault. The message names file, rule and fault."""


@dataclass(frozen=True)
class _Charge:
    """texts: FIELDS that have a value, and `meter`. words: each word of the meter as written, and its meaning:
    None if the word is part of a name.
    """

    texts: Mapping[str, str]
    words: Sequence[tuple[str, str | None]]

    def text(self, name: str) -> str:
        return self.texts.get(name, "")


def meter_of(charge: Mapping[str, object], own: Path | None = None) -> Meter:
    """What a charge is for. charge: FIELDS, and SkuPriceDetails as a dictionary. own: a file of further rules.

    Raises RulesUnusable.
    """
    texts = {name: str(value).strip() for name, value in charge.items() if name in FIELDS and value not in (None, "")}
    texts["meter"] = _meter(texts)
    words = _words(texts)
    read = _Charge(texts, [(word, words.get(word.lower())) for word in _split(texts["meter"], azure=_is_azure(texts))])
    for rule in (*(own_rules(own) if own else ()), *_rules()):
        if (groups := rule.groups(texts)) is not None:
            return _by_rule(rule, groups, read)
    details = charge.get("SkuPriceDetails")
    return _by_details(details, read) if isinstance(details, Mapping) else _by_words(read)


def _by_rule(rule: _Rule, groups: Mapping[str, str], charge: _Charge) -> Meter:
    words = _by_words(charge)
    named = _model(charge)
    if rule.model is not None and ("{model}" not in rule.model or "model" in groups):
        named = _joined(_split(rule.model.format(**groups), azure=_is_azure(charge.texts)), charge.texts)
    unit = words.unit if rule.unit is None else rule.unit
    no_usage = rule.direction in (NOT_AI, NOT_USAGE) and rule.unit is None
    return Meter(
        model="" if rule.direction in (NOT_AI, NOT_USAGE) else named,
        direction=rule.direction or words.direction,
        unit="" if no_usage else unit,
        per=0 if no_usage or not unit else rule.per or _per(charge.texts, unit),
        tier=_tier(charge) if rule.tier is None else rule.tier.format(**groups),
        by=rule.name,
    )


def _by_details(details: Mapping[str, object], charge: _Charge) -> Meter:
    words = _by_words(charge)
    if not (model := details.get("ModelId") or details.get("ModelFamily")):
        return words
    said = str(details.get("TokenDirection", "")).lower()
    action = str(details.get("TokenCacheAction", "")).lower()
    direction = f"cache {action}" if action in ("read", "write") else said if said in ("input", "output") else ""
    if not direction:
        return replace(words, model=str(model), by="SkuPriceDetails")
    return Meter(str(model), direction, "tokens", _per(charge.texts, "tokens"), _tier(charge), "SkuPriceDetails")


def _by_words(charge: _Charge) -> Meter:
    direction = _direction({meaning for _, meaning in charge.words if meaning})
    if direction is None and any(_TOKENS.search(charge.text(name)) for name in ("meter", "PricingUnit")):
        direction = "input and output"
    if direction is None:
        edition = _EDITION.match(charge.text("ServiceName"))
        return Meter(edition["model"] if edition else "", UNCLASSIFIED, "", 0, "", UNCLASSIFIED)
    return Meter(_model(charge), direction, "tokens", _per(charge.texts, "tokens"), _tier(charge), "words")


def _model(charge: _Charge) -> str:
    """The model that a charge names: as its Marketplace product, or with what is left of the words of its meter."""
    if edition := _EDITION.match(charge.text("ServiceName")):
        return edition["model"]
    of_model: set[str | None] = {None}
    if "embedding" in {meaning for _, meaning in charge.words}:
        of_model = {None, "embedding", "image", "text"}  # such as Titan Embedding V2 Text
    left = ["image" if word == "Img" else word for word, meaning in charge.words if meaning in of_model]
    return "unknown" if _is_amazon(charge.texts) and not left else _joined(left, charge.texts)


def _direction(kinds: set[str]) -> str | None:
    modality = next((kind for kind in ("audio", "image", "video") if kind in kinds), "")
    if "embedding" in kinds:
        return "embedding"
    if "cache" in kinds:
        action = "cache write" if "write" in kinds else "cache read"
        return f"{modality} {action}" if modality in ("audio", "image") and action == "cache read" else action
    for side in ("input", "output"):
        if side in kinds:
            return f"{modality} {side}".strip()
    return None


def _tier(charge: _Charge) -> str:
    said = list(dict.fromkeys(meaning for _, meaning in charge.words if meaning in _tiers()))
    if charge.texts.get("service_tier", "standard") not in ("standard", *said):
        said.append(charge.text("service_tier"))
    return ",".join(sorted(said, key=_place)) or "standard"


def _place(tier: str) -> int:
    """Where a tier stands among several; one that only the provider knows comes last."""
    return _tiers().index(tier) if tier in _tiers() else len(_tiers())


def _per(texts: Mapping[str, str], unit: str) -> int:
    """How many of the unit the PricingQuantity counts in."""
    if "MP:" in texts.get("x_UsageType", texts.get("meter", "")):
        return 1_000_000 if unit == "tokens" else 1
    if texts.get("ConsumedUnit", "").lower() in ("token", "tokens"):
        return 1  # the ConsumedQuantity counts
    for said in (texts.get("x_PricingUnitDescription"), texts.get("PricingUnit")):
        if said and (match := _PER.match(said)):
            return int(match["number"].replace(",", "")) * _TIMES[(match["times"] or "").lower()]
    return 1_000 if unit == "tokens" and (_is_amazon(texts) or _is_azure(texts)) else 1


def _is_azure(texts: Mapping[str, str]) -> bool:
    return "x_PricingUnitDescription" in texts or "x_SkuMeterName" in texts or "Azure" in texts.get("ServiceName", "")


def _is_amazon(texts: Mapping[str, str]) -> bool:
    said = (texts.get(name, "") for name in ("x_UsageType", "x_ServiceCode", "ServiceName", "x_Operation", "SkuMeter"))
    return "x_UsageType" in texts or any(_AMAZON.search(text) for text in said)


def _meter(texts: Mapping[str, str]) -> str:
    """The name of the meter, without the region that Amazon's begin with."""
    meter = next((texts[name] for name in _METERS if name in texts), "")
    return _REGION.sub("", meter) if _is_amazon(texts) and not _is_azure(texts) else meter


def _split(meter: str, *, azure: bool = False) -> list[str]:
    """The words of a meter, as they are written."""
    borders = r"(?<=[a-z0-9])(?=[A-Z][a-z])|(?<=[a-z])(?=[A-Z])|(?<=[a-z]{3})(?=[0-9]+\.[0-9])"
    apart = re.sub(borders, " ", meter) if not azure else meter
    joined = re.sub(r"(?i)\bdata zone\b", "datazone", re.sub(r"[^\w.]+|_|(?<![0-9])\.|\.(?![0-9])", " ", apart))
    joined = re.sub(r"(?i)\b(cross region|custom model|long ctx)\b", lambda found: found[0].replace(" ", ""), joined)
    joined = re.sub(r"(?i)\bcache write(?=[0-9])", "cache write ", joined)
    words: list[str] = []
    for word in joined.split():
        families = _data()["words"]["apart"]["families"]
        length = next((len(one) for one in families if re.match(rf"{one}(?=v?[0-9])", word, re.IGNORECASE)), 0)
        words += [word[:length], word[length:]] if length else [word]
    if azure:
        # Short for something in Azure's meters alone; an L behind the model is that of a long context.
        short = {"ch": "cache", "rt": "realtime"}
        words = [short.get(word.lower(), "longco" if word == "L" else word) for word in words]
    return words


def _joined(left: Sequence[str], texts: Mapping[str, str]) -> str:
    """The name of a model, of its words."""
    if not left:
        return ""
    if not _is_amazon(texts) or _is_azure(texts):
        name = "-".join(left).lower()
        for alias in _data()["aliases"]:
            name = re.sub(alias["written"], alias["meant"], name)
        for family in _data()["families"]:
            where = texts.get("x_SkuMeterSubcategory") or texts.get("ServiceName", "")
            if (found := re.search(family["subcategory"], where)) and re.search(family["where"], name):
                prefix = family["prefix"].format(**found.groupdict()).lower()
                return name if name.startswith(prefix) else f"{prefix}-{name}"
        return name
    vendors = ("anthropic", "openai", "amazon", "meta", "mistralai")
    words = [word for number, word in enumerate(left) if number or word.lower() not in vendors]
    dotted: list[str] = []
    for word in words:  # 3-2-1B is 3.2 1B
        if dotted and re.fullmatch("[0-9]", word) and re.fullmatch("[0-9]", dotted[-1]):
            dotted[-1] += f".{word}"
        else:
            dotted.append(word)
    if dotted[0].lower() == "claude" and len(dotted) == 3 and re.fullmatch(r"[0-9.]+", dotted[1]) and "." in dotted[1]:
        dotted[1:] = [dotted[2], dotted[1]]
    return " ".join(_capitalised(word) for word in dotted)


def _capitalised(word: str) -> str:
    """A word of a model's name: as it is written, but for those that meters write small."""
    if word != word.lower() or re.fullmatch(r"v[0-9.]+", word):
        return word
    return word.upper() if word in _IN_CAPITALS or re.fullmatch(r"a?[0-9.]+b", word) else word.capitalize()


@cache
def _data() -> dict:
    return tomllib.loads(resources.files(__package__).joinpath("ai_meters.toml").read_text("utf-8"))


@cache
def _tiers() -> list[str]:
    words = _data()["words"]
    return [*words["scope"], *words["tier"]]


def _words(texts: Mapping[str, str]) -> Mapping[str, str]:
    """Word -> what it means."""
    return _known_words() | ({"image": "image", "text": "text", "images": "image"} if not _is_azure(texts) else {})


@cache
def _known_words() -> dict[str, str]:
    known: dict[str, str] = {}
    for meaning, words in _data()["words"].items():
        if isinstance(words, list):
            known |= dict.fromkeys(words, meaning)
        elif meaning != "apart":
            for inner, some in words.items():
                known |= dict.fromkeys(some, inner)
    return known


@cache
def _rules() -> tuple[_Rule, ...]:
    return _read(_data(), "ai_meters.toml")


@cache
def own_rules(file: Path) -> tuple[_Rule, ...]:
    """The rules of a file of one's own, which has rules as ai_meters.toml has. It is read once in a process.

    Raises RulesUnusable.
    """
    try:
        return _read(tomllib.loads(file.read_text("utf-8")), file.name)
    except FileNotFoundError:
        raise RulesUnusable(f"there is no file {file.name} beside the defs.yaml") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError, OSError) as error:
        raise RulesUnusable(f"{file.name} cannot be read: {error}") from error


def _read(content: Mapping, file: str) -> tuple[_Rule, ...]:
    rules = []
    for number, entry in enumerate(content.get("rules", []), 1):
        where = f"{file}: the rule {entry.get('name', number)!r}"
        if lacking := {"name", "when", "examples"} - entry.keys():
            raise RulesUnusable(f"{where} has no {sorted(lacking)[0]}")
        if unknown := entry.keys() - _Rule.__dataclass_fields__.keys():
            raise RulesUnusable(f"{where} has {sorted(unknown)[0]}, which no rule has")
        if fields := sorted(entry["when"].keys() - {*FIELDS, "meter"}):
            raise RulesUnusable(f"{where} asks for the field {fields[0]}; there are meter, {', '.join(FIELDS)}")
        try:
            when = {name: re.compile(pattern, re.IGNORECASE) for name, pattern in entry["when"].items()}
        except re.error as error:
            raise RulesUnusable(f"{where}: {error.pattern!r} is no regular expression: {error}") from None
        rule = _Rule(**entry | {"when": when})
        for example in rule.examples:
            texts = dict(example) | {"meter": _meter(example)}
            if rule.groups(texts) is None:
                raise RulesUnusable(f"{where} does not fit its example {dict(example)}")
        rules.append(rule)
    return tuple(rules)
