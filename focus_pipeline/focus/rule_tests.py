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
# As FOCUS sets no precision, the same for shares.
_SHARES_TOLERANCE = 0.01
# What is larger is no share, and sums of it could be too large for a number.
_LARGEST_SHARE = 1000.0

_SPACES_AROUND = 4


def keeps(table, when: Mapping[str, Test], must: Mapping[str, Test]):
    """Boolean column: NULL or true in a row that keeps the rule. Arguments as in rules.toml."""
    import ibis

    kept = _all(table, must)
    # Of CASE, DuckDB evaluates the result only for the rows that it speaks of.
    return ibis.cases((_all(table, when), kept), else_=True) if when else kept


def others(test: Test) -> tuple[str, ...]:
    """The columns that a test compares with."""
    if not isinstance(test, Mapping):
        return ()
    named = (value for key, value in test.items() if key in _COMPARING)
    return tuple(name for value in named for name in (value if isinstance(value, list) else [value]))


def is_negative(test: Test | None) -> bool:
    return isinstance(test, Mapping) and "not" in test


def is_of_header(test: Test | None) -> bool:
    return isinstance(test, Mapping) and "present" in test


def remedy(must: Mapping[str, Test]) -> str:
    """What to do about a row that breaks the rule, where that follows from its tests."""
    return "; ".join(_remedy(column, test) for column, test in must.items())


def _remedy(column: str, test: Test) -> str:
    match test:
        case {"null": True}:
            return f"leave {column} empty"
        case {"null": False}:
            return f"fill {column}"
        case {"present": True}:
            return f"add the column {column}; it is null in the table until then"
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


def _present(table, column, operand):
    import ibis

    # Only files that lack the column are judged by it.
    return ibis.literal(False)


def _product_of(table, column, operand):
    import ibis

    # A product of two DECIMAL(38, 18) does not fit into any DECIMAL.
    cost, price, quantity = (table[approximate(name)] for name in (column.get_name(), *operand))
    product = price * quantity
    tolerance = ibis.greatest(cost.abs(), 1.0) * rule_data()["price_tolerance"]
    return (product - cost).abs() <= tolerance


def _amount_of(table, column, operand):
    import ibis

    other = table[operand]
    # The cast costs fifty times as much as the comparison, and is for rows that differ.
    amount, meant = column.cast("float64"), other.cast("float64")
    tolerance = ibis.greatest(meant.abs(), 1.0) * rule_data()["price_tolerance"]
    return ibis.cases((column == other, True), else_=(amount - meant).abs() <= tolerance)


def _listed_under(table, column, operand):
    pairs = [f"{value}\t{parent}" for value, parent in columns()[column.get_name()].parents.items()]
    return is_one_of(column + "\t" + table[operand], pairs)


def _month_after(table, column, operand):
    import ibis

    return column == table[operand].truncate("M") + ibis.interval(months=1)


def _not_written_as(table, column, operand):
    import ibis

    words = rule_data()["lists"][operand]
    # What is longer than all of them, apart from spaces around, is looked at no further.
    longest = max(map(len, words)) + _SPACES_AROUND
    return ibis.cases((column.length() > longest, True), else_=~is_one_of(column.strip().lower(), words))


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


# As it stands in JSON, or within quotes.
_NUMBER = r'^(null|"?-?[0-9]+(\.[0-9]+)?([eE]-?[0-9]+)?"?)$'
# Of a provider's own, behind its x_: what is in PascalCase neither begins with a small letter nor has a separator.
_NO_PASCAL_CASE = r"^x_([a-z_]|.*[-_ .:/])"


def _json_pascal_case(table, column, operand):
    keys = _json_functions()["json_keys"](column)
    return keys.filter(lambda key: key.re_search(_NO_PASCAL_CASE)).length() == 0


def _json_own_names(table, column, operand):
    keys = _json_functions()["json_keys"](column)
    marked = keys.filter(lambda key: key.isin([f"x_{name}" for name in rule_data()["lists"][operand]]))
    unmarked = marked.map(lambda key: key.substr(2))
    return unmarked.filter(lambda key: ~keys.contains(key)).length() == 0


def _elements_number(table, column, operand):
    functions = _json_functions()
    numbers = _elements(column).map(lambda one: functions["json_value_at"](one, f"$.{operand}"))
    lacking = numbers.filter(lambda number: number.isnull() | (number == "null") | ~number.re_search(_NUMBER))
    is_list = functions["json_type_at"](column, "$.Elements").identical_to("ARRAY")
    return column.isnull() | (is_list & (lacking.length() == 0))


def _elements_pair(table, column, operand):
    type_at = _json_functions()["json_type_at"]
    given, asked = (f"$.{key}" for key in operand)
    lacking = _elements(column).filter(lambda one: type_at(one, given).notnull() & type_at(one, asked).isnull())
    return lacking.length() == 0


def _elements_keys(table, column, operand):
    known = rule_data()["lists"][operand]
    keys = _elements(column).map(lambda one: _json_functions()["json_keys"](one)).flatten()
    return keys.filter(lambda key: ~(key.startswith("x_") | key.isin(known))).length() == 0


def _elements(column):
    return _json_functions()["json_extract"](column, "$.Elements[*]")


def _json_values(table, column, operand):
    import ibis

    functions = _json_functions()
    values = functions["json_extract"](column, "$.*")
    nested = values.filter(lambda value: functions["json_type_of"](value).isin(["OBJECT", "ARRAY"]))
    # Without a bracket behind the first one nothing is nested, and nothing has to be parsed.
    inside = column.cast("string").substr(1)
    return ibis.cases((~(inside.contains("{") | inside.contains("[")), True), else_=nested.length() == 0)


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
    "amount_of": _amount_of,
    "listed_under": _listed_under,
    "present": _present,
    "whole_hour": lambda table, column, operand: column == column.truncate("h"),
    "first_of_month": lambda table, column, operand: column == column.truncate("M"),
    "month_after": _month_after,
    "not_written_as": _not_written_as,
    "spelled_as": _spelled_as,
    "not_like": lambda table, column, operand: ~column.re_search(operand),
    "json_keys": _json_keys,
    "json_pascal_case": _json_pascal_case,
    "json_own_names": _json_own_names,
    "elements_number": _elements_number,
    "elements_pair": _elements_pair,
    "elements_keys": _elements_keys,
    "json_values": _json_values,
    "json_numbers": _json_numbers,
    "json_texts": _json_texts,
}
_COMPARING = {
    "after",
    "equals",
    "other_id_than",
    "same_id_as",
    "product_of",
    "amount_of",
    "listed_under",
    "month_after",
}


def _one(table, group: Mapping):
    of, per = table[group["of"]], _per(group)
    return of.min().over(per) == of.max().over(per)


def _balance(table, group: Mapping):
    per, category = _per(group), table.ChargeCategory
    left = table[group["of"]].sum(where=category == group["where"]).over(per)
    right = table[group["equals"]].sum(where=category == group["at"]).over(per)
    return (left - right).abs() <= _BALANCE_TOLERANCE


def _shares(table, group: Mapping):
    """A charge that was split has shares of 1, and several of them, which nothing tells apart, a whole number.

    There are at most as many charges as rows. Where a row does not say its share, the others say nothing.
    """
    import ibis

    per, counts, untold = _per(group), ~table.ChargeClass.identical_to("Correction"), ibis.literal(float("nan"))
    ratios = _json_functions()["json_extract"](table[group["of"]], "$.Elements[*].AllocatedRatio").map(
        lambda ratio: ratio.try_cast("float64")
    )
    share = ratios.map(lambda ratio: ibis.cases((ratio.abs() <= _LARGEST_SHARE, ratio), else_=untold)).sums()
    total = share.fill_null(untold).sum(where=counts).over(per)
    is_whole = (total + _SHARES_TOLERANCE) % 1.0 <= 2 * _SHARES_TOLERANCE
    return total.isnan() | (is_whole & (total > 0.5) & (total < counts.sum().over(per) + 0.5))


def _alike(table, group: Mapping):
    of, per = table[group["of"]], _per(group)
    return of.nunique().over(per) == of.lower().nunique().over(per)


GROUP_TESTS = {"one": _one, "balance": _balance, "shares": _shares, "alike": _alike}


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

    def json_value_at(value, path):
        """What is found at a path, as it is written; NULL for objects and lists."""

    def json_type_at(value, path):
        """The type of what is found at a path."""

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
        "json_value_at": builtin(json_value_at, name="json_value", signature=((json, dt.string), dt.string)),
        "json_type_at": builtin(json_type_at, name="json_type", signature=((json, dt.string), dt.string)),
        "json_value": builtin(json_value, signature=((json, texts), texts)),
        "json_type_of": builtin(json_type_of, name="json_type", signature=((json,), dt.string)),
        "json_type": builtin(json_type, signature=((json, texts), texts)),
    }
