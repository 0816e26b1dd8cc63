"""Ratings, counts and numbers of pages."""

import pytest
from bookwheel_extraction.values import Parsed
from bookwheel_extraction.values.counts import parse_count, parse_page_count
from bookwheel_extraction.values.ratings import parse_rating


def shown(parsed: Parsed[int] | Parsed[float]) -> object:
    """The value, or the code of the fault."""
    return parsed.fault.code if parsed.fault else parsed.value


@pytest.mark.parametrize(
    ("value", "best", "worst", "count", "expected"),
    [
        ("Three", None, None, None, 3.0),
        ("zero", None, None, None, 0.0),
        ("drei Sterne", None, None, None, 3.0),
        ("4.5", None, None, None, 4.5),
        ("4,5", None, None, None, 4.5),
        ("4.5 stars", None, None, None, 4.5),
        ("4/5", None, None, None, 4.0),
        ("8,5/10", None, None, None, 4.25),
        ("8.5 / 10", None, None, None, 4.25),
        ("8 out of 10", None, None, None, 4.0),
        ("4 out of 5 stars", None, None, None, 4.0),
        ("Rated 4.50 out of 5", None, None, None, 4.5),
        ("Rating: 4.5/5", None, None, None, 4.5),
        ("4,5 von 5", None, None, None, 4.5),
        ("4,5 von 5 Sternen", None, None, None, 4.5),
        ("4,5 sur 5 étoiles", None, None, None, 4.5),
        ("4,5 de 5 estrellas", None, None, None, 4.5),
        ("4,5 su 5 stelle", None, None, None, 4.5),
        ("4,5 van de 5 sterren", None, None, None, 4.5),
        ("85 of 100", None, None, None, 4.25),
        ("80%", None, None, None, 4.0),
        ("85 %", None, None, None, 4.25),
        ("4.5 (123)", None, None, None, 4.5),
        ("4,5 (1.234 Bewertungen)", None, None, None, 4.5),
        ("★★★★☆", None, None, None, 4.0),
        ("★★★", None, None, None, 3.0),
        ("★★★½", None, None, None, 3.5),
        ("☆☆☆☆☆", None, None, None, "not_a_rating"),
        ("★★★☆", None, None, None, "not_a_rating"),
        ("٤٫٥", None, None, None, 4.5),
        (4.5, 5, None, None, 4.5),
        ("9", "10", None, None, 4.5),
        ("85", "100", None, None, 4.25),
        ("85", 100.0, "0", None, 4.25),
        ("4", "5", "1", None, 4.0),
        ("3", "10", "2", None, 0.625),
        ("0", "10", "-10", None, 2.5),
        ("2", "1", "6", None, 4.0),  # a school grade: 1 is the best
        ("6", "10", "1", None, 3.0),
        ("0", None, None, "0", None),
        ("0", None, None, 0, None),
        ("4.5", "5", None, "0 ratings", None),
        ("0", None, None, None, 0.0),
        (None, "5", None, None, None),
        ("", None, None, None, None),
        ("6", None, None, None, "no_scale"),
        ("85", None, None, None, "no_scale"),
        ("Six", None, None, None, "not_a_rating"),
        ("5.1", "5", None, None, "out_of_range"),
        ("11/10", None, None, None, "out_of_range"),
        ("0", "5", "1", None, "out_of_range"),
        ("-1", None, None, None, "out_of_range"),
        ("4", "0", None, None, "out_of_range"),
        ("4", "x", None, None, "scale_unreadable"),
        ([4], None, None, None, "not_a_rating"),
        (True, None, None, None, "not_a_rating"),
        ("1e0", None, None, None, "not_a_rating"),
        ("4-5", None, None, None, "not_a_rating"),
        ("not rated", None, None, None, "not_a_rating"),
    ],
)
def test_a_rating_is_on_the_scale_of_five(
    value: object, best: object, worst: object, count: object, expected: object
) -> None:
    assert shown(parse_rating(value, best, worst, count)) == expected


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (1204, 1204),
        (3.0, 3),
        ("1204", 1204),
        ("1,204 ratings", 1204),
        ("1.234 Bewertungen", 1234),
        ("1.000 Bewertungen", 1000),
        ("1 204 avis", 1204),
        ("1\u00a0204 avis", 1204),
        ("1\u202f204 avis", 1204),
        ("1’204 Bewertungen", 1204),
        ("12,34,567 ratings", 1234567),
        ("1.234.567", 1234567),
        ("1.234", 1234),
        ("1,234", 1234),
        ("١٢٣", 123),
        ("(12)", 12),
        ("10.0000", 10),
        ("3.0", 3),
        ("0", 0),
        ("No reviews yet", 0),
        ("Keine Bewertungen", 0),
        (None, None),
        (" ", None),
        ("3.000", "ambiguous"),
        ("1,2 k", "not_exact"),
        ("1.2K", "not_exact"),
        ("2 Tsd.", "not_exact"),
        ("1.5M ratings", "not_exact"),
        ("500+", "not_exact"),
        ("over 500", "not_exact"),
        ("mehr als 500", "not_exact"),
        ("~ 500", "not_exact"),
        ("4,5 (123)", "several_numbers"),
        ("many", "not_a_count"),
        ("½", "not_a_count"),
        ("12.5%", "not_a_count"),
        ("1.2.3", "not_a_count"),
        (-3, "not_a_count"),
        ("1e5", "not_a_count"),
        ([], "not_a_count"),
        (True, "not_a_count"),
        ("9" * 20, "too_large"),
        ("9" * 300, "too_long"),
        ("4.5", "fractional"),
        (4.5, "fractional"),
        (1.234, "fractional"),
        ("1.204,5 ratings", "fractional"),
    ],
)
def test_a_count_is_exact(value: object, expected: object) -> None:
    assert shown(parse_count(value)) == expected


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (320, 320),
        ("320", 320),
        ("320.0", 320),
        ("320 p.", 320),
        ("320pp", 320),
        ("320 pages", 320),
        ("320 Seiten", 320),
        ("320 S.", 320),
        ("320 páginas", 320),
        ("320 pagine", 320),
        ("320 blz.", 320),
        ("320 стр.", 320),
        ("1.024 Seiten", 1024),
        ("1,024 pages", 1024),
        ("xii, 320 pages", 320),
        ("2 vol., 320 p", 320),
        ("Print length: 320 pages", 320),
        ("Seitenzahl: 320", 320),
        (None, None),
        ("0", "out_of_range"),
        ("999999", "out_of_range"),
        ("pp. 12-34", "several_numbers"),
        ("12 x 18 cm", "several_numbers"),
        ("320 pages, 24 pages of plates", "several_numbers"),
        ("ca. 320 Seiten", "not_exact"),
        ("320+ pages", "not_exact"),
        ("many", "not_a_count"),
        (True, "not_a_page_count"),
    ],
)
def test_a_number_of_pages(value: object, expected: object) -> None:
    assert shown(parse_page_count(value)) == expected
