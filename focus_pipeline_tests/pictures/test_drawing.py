"""Pictures are small, whole, the same bytes each time, and say what they show."""

import base64
import re
import xml.etree.ElementTree as ET

import pytest

from focus_pipeline.pictures.drawing import OTHER, PALETTE, UP, Cell, drawn, grid, in_markdown
from focus_pipeline.pictures.picture import KINDS, Drawable, Picture, Point

MONTHS = [f"2025-{number:02d}" for number in range(1, 13)] + ["2026-01"]
LARGEST = 100_000  # bytes, which the UI still shows quickly


def drawable(kind: str, points: list[Point], **more: object) -> Drawable:
    y = ("ListCost", "EffectiveCost") if kind == "waterfall" else ("EffectiveCost",)
    fields = {"x": "Month", "months": 13} | more
    return Drawable(Picture("Costs", kind, y, **fields), "USD", "", tuple(points))


def texts(svg: str) -> list[str]:
    return [(element.text or "").strip() for element in ET.fromstring(svg).iter() if element.tag.endswith("}text")]


def fills(svg: str) -> set[str]:
    return set(re.findall(r"fill: (#[0-9a-f]{6})", svg))


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_is_drawn_with_its_title_and_values(kind: str) -> None:
    points = [Point(month, "AWS", 1000.0 * number + 1500) for number, month in enumerate(MONTHS)]
    svg = drawn(drawable(kind, points))
    said = texts(svg)
    assert "Costs, USD" in said
    assert any("," in text and text.replace(",", "").replace("+", "").isdigit() for text in said)
    drawn.cache_clear()
    assert drawn(drawable(kind, points)) == svg, "the same picture is the same bytes"


def test_large_pictures_stay_small_and_add_up_what_is_small() -> None:
    points = [Point(month, f"provider {number}", 10.0 * number + 1) for month in MONTHS for number in range(40)]
    svg = drawn(drawable("stacked_bars", points))
    assert len(in_markdown(svg, "x")) < LARGEST
    said = texts(svg)
    assert {"provider 39", "provider 33", "other"} <= set(said)
    assert "provider 0" not in said
    assert {PALETTE[0].lower(), OTHER.lower()} <= fills(svg)


def test_one_more_than_the_top_needs_no_other() -> None:
    points = [Point("2025-01", f"provider {number}", 1.0) for number in range(8)]
    assert "other" not in texts(drawn(drawable("stacked_bars", points)))


def test_bars_show_the_largest_changes_with_their_sign_and_sum_up_the_rest() -> None:
    points = [Point(f"service {number}", "", float(-(number**2) if number % 2 else number)) for number in range(1, 12)]
    said = texts(drawn(drawable("changes", points, top=3)))
    assert [text for text in said if text.startswith("service")] == ["service 11", "service 9", "service 7"]
    assert {"-121", "-81", "-49", "8 others"} <= set(said)
    assert str(sum(int(point.y) for point in points if point.x not in ("service 11", "service 9", "service 7"))) in said


def test_prices_of_bars_are_never_added_up() -> None:
    points = [Point(f"model {number}", "", 0.01 * number) for number in range(1, 12)]
    said = texts(drawn(drawable("bars", points, top=3, format="price")))
    assert not [text for text in said if "others" in text]
    assert "0.1100" in said


def test_a_waterfall_shows_the_steps_between_its_bars() -> None:
    said = texts(drawn(drawable("waterfall", [Point("ListCost", "", 200.0), Point("EffectiveCost", "", 150.0)])))
    assert {"200", "150", "-50 (-25%)", "ListCost", "EffectiveCost"} <= set(said)


def test_marked_days_are_drawn_and_named() -> None:
    days = [Point(f"2025-03-{day:02d}", "", 100.0) for day in range(1, 29)]
    marked = Drawable(drawable("lines", days).picture, "USD", "", tuple(days), ("2025-03-14",))
    assert UP.lower() in drawn(marked)
    assert "anomaly" in texts(drawn(marked))
    assert "anomaly" not in texts(drawn(drawable("lines", days)))


def test_text_of_bills_is_text_whatever_it_holds() -> None:
    names = ["$x_1$ & <script>alert(1)</script>", "漢字 ümlaut", "a" * 200, "", "]("]
    svg = drawn(drawable("bars", [Point(name, "", 5.0) for name in names]))
    assert "<script" not in svg
    assert {"$x_1$ & <script>alert(1)</script>", "漢字 ümlaut", "none"} <= set(texts(svg))
    assert max(map(len, texts(svg))) < 60
    assert re.fullmatch(r"!\[a \(b\)\]\(data:image/svg\+xml;base64,[A-Za-z0-9+/=]+\)", in_markdown(svg, "a [b]"))


def test_a_picture_without_values_is_an_empty_one() -> None:
    for kind in KINDS:
        assert "Costs, USD" in texts(drawn(drawable(kind, [])))


def test_on_a_page_it_takes_the_colour_of_the_text_and_in_markdown_it_has_a_card() -> None:
    svg = drawn(drawable("bars", [Point("a", "", 1.0)]))
    assert "currentColor" in svg
    assert "#ffffff" not in svg
    encoded = in_markdown(svg, "a").partition("base64,")[2].rstrip(")")
    alone = base64.b64decode(encoded).decode()
    assert "currentColor" not in alone
    assert 'fill="#ffffff"' in alone
    ET.fromstring(alone)


def test_a_grid_has_a_cell_where_one_is_given() -> None:
    cells = {("aws_main", "2025-01"): Cell("#009E73", "98"), ("colo", "2025-02"): Cell("#D55E00", "×")}
    svg = grid("Status", ["aws_main", "colo"], ["2025-01", "2025-02"], cells, {"rejected": Cell("#D55E00", "×")})
    assert texts(svg).count("98") == 1
    assert {"aws_main", "colo", "2025-01", "2025-02", "×  rejected"} <= set(texts(svg))
