"""What is wrong in a defs.yaml, in one line each: file and line, the attribute, and what is allowed."""

import re
from collections.abc import Iterator, Mapping, Sequence
from difflib import get_close_matches
from typing import Annotated, Any, get_args, get_origin

import dagster as dg
import yaml
from annotated_types import Ge
from dagster.components.core.defs_module import ComponentFileModel
from dagster_shared.yaml_utils.source_position import ValueAndSourcePositionTree
from pydantic import BaseModel, TypeAdapter, ValidationError
from pydantic.fields import FieldInfo

import focus_pipeline
from focus_pipeline.components.connection import ConnectionComponent
from focus_pipeline.components.exchange_rates import CURRENCY
from focus_pipeline.connections.auth import Auth, from_environment, resolved
from focus_pipeline.connections.store_urls import InvalidUrl, auth_type

_TYPES = [f"focus_pipeline.{name}" for name in focus_pipeline.__all__]
Fault = tuple[Sequence[str | int], str]
"""Keys that lead to a place in the document, and what is wrong there."""


def sentence(file: str, line: int, said: str) -> str:
    """A fault in one line.

    >>> sentence("defs/colo/defs.yaml", 3, "`name` is 5;\\n allowed is a text")
    'defs/colo/defs.yaml:3: `name` is 5; allowed is a text'
    """
    return f"{file}:{line}: {' '.join(said.split())}"


def syntax_fault(file: str, error: yaml.YAMLError | UnicodeDecodeError) -> str:
    """Of a file that is no YAML at all."""
    mark = getattr(error, "problem_mark", None)
    problem = getattr(error, "problem", None) or str(error)
    return sentence(file, mark.line + 1 if mark else 1, f"this is not YAML: {problem}")


def document_faults(file: str, tree: ValueAndSourcePositionTree, error: Exception) -> list[str]:
    """Of a document that Dagster could not load. error: what it said; used where the document itself tells nothing."""
    faults = list(_faults(tree.value)) or [_told(tree.value, error)]
    return [sentence(file, _line(tree, path), said) for path, said in faults]


def _line(tree: ValueAndSourcePositionTree, path: Sequence[str | int]) -> int:
    position, _ = tree.source_position_tree.lookup_closest_and_path(list(path), None)
    return position.start.line


def _faults(document: object) -> Iterator[Fault]:
    if not isinstance(document, dict):
        yield (), "a connection has a `type` and `attributes`; `dg scaffold defs` writes them"
        return
    for key in document:
        if key not in ComponentFileModel.model_fields:
            yield (key,), f"there is no `{key}`; {_nearest(str(key), ComponentFileModel.model_fields)}"
    kind = document.get("type")
    if kind is None:
        yield (), "`type` is missing, such as focus_pipeline.MonthFolders"
        return
    cls = _component(kind)
    if cls is None:
        if not str(kind).startswith(("dagster.", ".")):
            yield ("type",), f"there is no type `{kind}`; {_nearest(str(kind), _TYPES)}"
        return
    attributes = document.get("attributes") or {}
    if not isinstance(attributes, dict) or isinstance(document.get("attributes"), list):
        yield ("attributes",), "`attributes` has to hold attributes, such as `name: acme`"
        return
    for path, said in _attribute_faults(cls, attributes):
        yield ("attributes", *path), said


def _component(kind: object) -> type[ConnectionComponent] | None:
    name = str(kind).removeprefix("focus_pipeline.")
    return getattr(focus_pipeline, name) if str(kind) in _TYPES else None


def _attribute_faults(cls: type[BaseModel], attributes: Mapping[str, Any]) -> Iterator[Fault]:
    fields = cls.model_fields
    for name in attributes:
        if name not in fields:
            yield (name,), f"there is no attribute `{name}`; {_nearest(str(name), fields)}"
    for name, field in fields.items():
        if name not in attributes:
            if field.is_required():
                yield (), f"the attribute `{name}` is missing"
            continue
        models = [one for one in get_args(field.annotation) if isinstance(one, type) and issubclass(one, BaseModel)]
        if models and get_origin(field.annotation) is list:
            yield from _item_faults(name, attributes[name], models[0])
        elif models:
            yield from _auth_faults(name, attributes[name], models, attributes.get("url"))
        elif (said := _value_fault(name, field, attributes[name])) is not None:
            yield (name,), said


def _item_faults(name: str, value: object, model: type[BaseModel]) -> Iterator[Fault]:
    """Of an attribute that is a list of things with attributes of their own, such as the checks of a mart."""
    if not isinstance(value, list) or not all(isinstance(item, dict) for item in value):
        first = next(iter(model.model_fields))
        yield (name,), f"`{name}` has to be a list, each of whose items has attributes such as `{first}`"
        return
    for number, item in enumerate(value):
        for path, said in _attribute_faults(model, item):
            yield (name, number, *path), f"`{name}`: {said}"


def _value_fault(name: str, field: FieldInfo, value: object) -> str | None:
    if isinstance(value, str) and name != "name":  # a name is known before anything is resolved
        value = from_environment(value)
        if "{{" in value:
            return None
    resolver = next((one for one in field.metadata if isinstance(one, dg.Resolver)), None)
    annotation = (resolver and resolver.model_field_type) or field.annotation
    constraints = [one for one in field.metadata if not isinstance(one, dg.Resolver)]
    try:
        TypeAdapter(Annotated[annotation, *constraints] if constraints else annotation).validate_python(value)
    except (ValidationError, TypeError):
        allowed = _allowed(annotation, constraints)
        if name == "channels":  # of alerts, whose URLs may hold secrets
            return "`channels` has to hold names, each with a URL, such as finops: slack://…"
        if name == "name":
            return f"`name` is {value!r}; allowed are small letters, digits and _, a letter first, such as acme_costs"
        if name == "owners":
            allowed = "a list of email addresses, or of team:<name>"
        return f"`{name}` is {'empty' if value is None else repr(value)}; allowed is {allowed}"
    return None


def _allowed(annotation: object, constraints: Sequence[object]) -> str:
    kinds = [annotation] if not get_args(annotation) or get_origin(annotation) is list else list(get_args(annotation))
    if any(get_origin(kind) is list for kind in kinds):
        return "a list of texts, such as ['a', 'b']"
    if any(getattr(one, "pattern", None) == CURRENCY for one in constraints):
        return "three capital letters, such as USD"
    if bool in kinds:
        return "true or false"
    if int in kinds:
        least = next((one.ge for one in constraints if isinstance(one, Ge)), None)
        return "a whole number" if least is None else f"a whole number from {least} on"
    return "a text that is not empty" if constraints else "a text"


def _auth_faults(name: str, value: object, models: Sequence[type[BaseModel]], url: object) -> Iterator[Fault]:
    """By the one kind of credentials that the url takes, for those of the others are beside the point."""
    if value is None:
        return
    if len(models) > 1:
        try:
            models = [auth_type(from_environment(str(url)))]
        except InvalidUrl:
            return
        if models == [None]:
            return
    (model,) = models
    if not isinstance(value, dict):
        first = next(iter(model.model_fields))
        yield (name,), f"`{name}` has to hold attributes of its own, such as {first}"
        return
    of_another = any(key not in model.model_fields and _belongs_elsewhere(key, model) for key in value)
    for key in value if not of_another else ():
        if key not in model.model_fields:
            nearest = _nearest(f"{name}.{key}", [f"{name}.{field}" for field in model.model_fields])
            yield (name, key), f"there is no attribute `{name}.{key}`; {nearest}"
    known = {key: text for key, text in value.items() if key in model.model_fields}
    if len(known) < len(value):
        return
    try:
        resolved(model(**known))
    except ValidationError as error:
        for fault in error.errors(include_input=False, include_url=False, include_context=True):
            path = (name, *map(str, fault["loc"]))
            yield path, f"`{'.'.join(path)}`: {_plain(fault)}"


def _belongs_elsewhere(key: str, model: type[BaseModel]) -> bool:
    return any(key in other.model_fields for other in get_args(Auth) if other is not model)


def _plain(fault: Mapping[str, Any]) -> str:
    said = (fault.get("ctx") or {}).get("error")
    if said is not None:
        return str(said)
    if fault["type"] == "string_too_short":
        return "it is empty"
    return (
        "allowed is a text" if fault["type"] == "string_type" else fault["msg"].replace("Input should be", "allowed is")
    )


def _told(document: Mapping[str, Any], error: Exception) -> Fault:
    """What was raised, in its own words, at the attribute that they speak of."""
    while error.__cause__ is not None and not isinstance(error, ValidationError):
        error = error.__cause__
    if isinstance(error, ValidationError):
        first = error.errors(include_input=False, include_url=False)[0]
        # Dagster puts the place into the location: `attributes.url at /path/defs.yaml:3`.
        path = [str(part) for part in first["loc"]]
        if path and " at " in path[0]:
            path = path[0].split(" at ")[0].split(".")
            if path[0] != "attributes":
                return path, f"`{'.'.join(path[:2])}`: {_plain(first)}"
            path = path[1:]
        said = _plain(first)
    else:
        lines = str(error).strip().splitlines() or [type(error).__name__]
        # Dagster passes on a traceback as text: its last line is what was said.
        path, said = [], re.sub(r"^[\w.]+(?:Error|Exception): ", "", lines[-1])
    attributes = document.get("attributes") if isinstance(document, dict) else None
    given = list(attributes) if isinstance(attributes, dict) else []
    if not path:
        unknown = re.match(r"`(\{\{ \w+ \}\})`", said)
        torn = "template" in said or "print statement" in said  # words of Jinja
        quoted = [
            key
            for key in given
            if (unknown and _spaced(unknown[1]) in _spaced(str(attributes[key])))
            or (torn and re.search(r"\{[{%]", str(attributes[key])))
        ]
        path = (quoted or _spoken_of(said, given))[:1]
    return ("attributes", *path), f"`{'.'.join(path)}`: {said}" if path else said


def _spaced(text: str) -> str:
    return text.replace(" ", "")


def _spoken_of(said: str, given: Sequence[str]) -> list[str]:
    for name in ("endpoint_url", "auth", "url"):
        if name in given and re.search(rf"\b(?:the|a|an) {name}\b", said):
            return [name]
    if "be named" in said and "name" in given:
        return ["name"]
    return [word for word in re.findall(r"\w+", said) if word in given]


def _nearest(name: str, known: Sequence[str] | Mapping[str, Any]) -> str:
    """The known name that is closest, or all of them where none is."""
    found = get_close_matches(name, list(known), 1)
    return f"the nearest is `{found[0]}`" if found else f"there are {', '.join(sorted(known))}"
