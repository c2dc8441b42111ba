"""The tests that rules.toml is written in, as Ibis expressions; what each means is said there.

Ibis is imported where it is used: a run's process takes the compiled rules and need not load it.
"""

from collections.abc import Mapping, Sequence
from functools import cache

from focus_pipeline.focus.canonical import approximate
from focus_pipeline.focus.specification import columns, rule_data

Test = str | int | float | list | Mapping

# A sum over a commitment may differ by what rounding each row to whole cents can add up to.
_BALANCE_TOLERANCE = 0.01
_SHARES_TOLERANCE = 1e-6

_SPACES_AROUND = 4


def keeps(table, when: Mapping[str, Test], must: Mapping[str, Test]):
    """Boolean column: NULL or true in a row that keeps the rule. Arguments as in rules.toml."""
    kept = _all(table, must)
    return ~_all(table, when) | kept if when else kept


def others(test: Test) -> tuple[str, ...]:
    """The columns that a test compares with."""
    if not isinstance(test, Mapping):
        return ()
    named = (value for key, value in test.items() if key in _COMPARING)
    return tuple(name for value in named for name in (value if isinstance(value, list) else [value]))


def is_negative(test: Test | None) -> bool:
    return isinstance(test, Mapping) and "not" in test


def remedy(must: Mapping[str, Test]) -> str:
    """What to do about a row that breaks the rule, where that follows from its tests."""
    return "; ".join(_remedy(column, test) for column, test in must.items())


def _remedy(column: str, test: Test) -> str:
    match test:
        case {"null": True}:
            return f"leave {column} empty"
        case {"null": False}:
            return f"fill {column}"
        case Mapping():
            return f"correct {column}" + (f" or {' or '.join(others(test))}" if others(test) else "")
        case _:
            return f"set {column} to {' or '.join(map(str, test)) if isinstance(test, list) else test}"


def _all(table, tests: Mapping[str, Test]):
    result = None
    for name, test in tests.items():
        for kept in _kept(table, name, test):
            result = kept if result is None else result & kept
    return result


def _kept(table, name: str, test: Test):
    column = table[name]
    if isinstance(test, list):
        yield is_one_of(column, test)
    elif not isinstance(test, Mapping):
        yield column == test
    else:
        for operator, operand in test.items():
            yield _OPERATORS[operator](table, column, operand)


def is_one_of(column, values: Sequence[str]):
    """As isin(), which DuckDB evaluates for each row; a function of lists only once for each entry of a dictionary."""
    import ibis

    return ibis.array(list(values)).contains(column)


def _product_of(table, column, operand):
    import ibis

    # A product of two DECIMAL(38, 18) does not fit into any DECIMAL.
    cost, price, quantity = (table[approximate(name)] for name in (column.get_name(), *operand))
    product = price * quantity
    tolerance = ibis.greatest(cost.abs(), 1.0) * rule_data()["price_tolerance"]
    return (product - cost).abs() <= tolerance


def _listed_under(table, column, operand):
    pairs = [f"{value}\t{parent}" for value, parent in columns()[column.get_name()].parents.items()]
    return is_one_of(column + "\t" + table[operand], pairs)


def _month_after(table, column, operand):
    import ibis

    return column == table[operand].truncate("M") + ibis.interval(months=1)


def _not_written_as(table, column, operand):
    import ibis

    # What is longer than all of them, apart from spaces around, is looked at no further.
    longest = max(map(len, operand)) + _SPACES_AROUND
    return ibis.cases((column.length() > longest, True), else_=~is_one_of(column.strip().lower(), operand))


def _spelled_as(table, column, operand):
    terms = rule_data()["lists"][operand]
    known = [term.lower() for term in terms]
    wrong = column.re_split("[^A-Za-z]+").filter(lambda part: part.lower().isin(known) & ~part.isin(terms))
    return wrong.length() == 0


def _json_keys(table, column, operand):
    keys = _json_functions()["json_keys"](column)
    if operand == "unique":
        return keys.unique().length() == keys.length()
    known = rule_data()["lists"][operand]
    return keys.filter(lambda key: ~(key.startswith("x_") | key.isin(known))).length() == 0


def _json_values(table, column, operand):
    functions = _json_functions()
    values = functions["json_extract"](column, "$.*")
    nested = values.filter(lambda value: functions["json_type_of"](value).isin(["OBJECT", "ARRAY"]))
    return nested.length() == 0


# As it stands in JSON, or within quotes.
_NUMBER = r'^(null|"?-?[0-9]+(\.[0-9]+)?([eE]-?[0-9]+)?"?)$'


def _json_numbers(table, column, operand):
    values = _json_functions()["json_value"](column, _paths(operand))
    return values.filter(lambda value: value.notnull() & ~value.re_search(_NUMBER)).length() == 0


def _json_texts(table, column, operand):
    types = _json_functions()["json_type"](column, _paths(operand))
    return types.filter(lambda kind: kind.notnull() & ~kind.isin(["VARCHAR", "NULL"])).length() == 0


def _paths(keys: str):
    import ibis

    return ibis.array([f"$.{key}" for key in rule_data()["lists"][keys]])


_OPERATORS = {
    "null": lambda table, column, operand: column.isnull() if operand else column.notnull(),
    "not": lambda table, column, operand: ~column.identical_to(operand),
    "at_least": lambda table, column, operand: column >= operand,
    "after": lambda table, column, operand: column > table[operand],
    "equals": lambda table, column, operand: column == table[operand],
    "other_id_than": lambda table, column, operand: column.lower() != table[operand].lower(),
    "same_id_as": lambda table, column, operand: column.lower().identical_to(table[operand].lower()),
    "product_of": _product_of,
    "listed_under": _listed_under,
    "whole_hour": lambda table, column, operand: column == column.truncate("h"),
    "first_of_month": lambda table, column, operand: column == column.truncate("M"),
    "month_after": _month_after,
    "not_written_as": _not_written_as,
    "spelled_as": _spelled_as,
    "json_keys": _json_keys,
    "json_values": _json_values,
    "json_numbers": _json_numbers,
    "json_texts": _json_texts,
}
_COMPARING = {"after", "equals", "other_id_than", "same_id_as", "product_of", "listed_under", "month_after"}


def _one(table, group: Mapping):
    of, per = table[group["of"]], _per(group)
    return of.min().over(per) == of.max().over(per)


def _balance(table, group: Mapping):
    per, category = _per(group), table.ChargeCategory
    left = table[group["of"]].sum(where=category == group["where"]).over(per)
    right = table[group["equals"]].sum(where=category == group["at"]).over(per)
    return (left - right).abs() <= _BALANCE_TOLERANCE


def _shares(table, group: Mapping):
    ratios = _json_functions()["json_extract"](table[group["of"]], "$.Elements[*].AllocatedRatio")
    total = ratios.map(lambda ratio: ratio.cast("float64")).sums().sum().over(_per(group))
    return (total - 1).abs() <= _SHARES_TOLERANCE


GROUP_TESTS = {"one": _one, "balance": _balance, "shares": _shares}


def _per(group: Mapping):
    import ibis

    return ibis.window(group_by=group["per"])


@cache
def _json_functions() -> dict:
    """DuckDB functions that Ibis has no name for."""
    import ibis
    from ibis.expr import datatypes as dt

    json = dt.JSON()

    def json_keys(value):
        """Keys of an object, in order, repeated ones too."""

    def json_extract(value, path):
        """What is found at a path with wildcards."""

    def json_value(value, paths):
        """What is found at each of the paths, as it is written; NULL for objects and lists."""

    def json_type_of(value):
        """OBJECT, ARRAY, VARCHAR, …"""

    def json_type(value, paths):
        """The types of what is found at each of the paths."""

    builtin = ibis.udf.scalar.builtin
    texts = dt.Array(dt.string)
    return {
        "json_keys": builtin(json_keys, signature=((json,), texts)),
        "json_extract": builtin(json_extract, signature=((json, dt.string), dt.Array(json))),
        "json_value": builtin(json_value, signature=((json, texts), texts)),
        "json_type_of": builtin(json_type_of, name="json_type", signature=((json,), dt.string)),
        "json_type": builtin(json_type, signature=((json, texts), texts)),
    }
