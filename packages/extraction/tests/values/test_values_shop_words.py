"""Formats, availability and categories, in the words of shops."""

import pytest
from bookwheel_extraction.values.availability import parse_availability
from bookwheel_extraction.values.categories import parse_categories
from bookwheel_extraction.values.formats import parse_format


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("https://schema.org/EBook", "ebook"),
        ("http://schema.org/Hardcover", "hardcover"),
        ("https://schema.org/Paperback", "paperback"),
        ("schema:AudiobookFormat", "audiobook"),
        ("AudiobookFormat", "audiobook"),
        ("https://schema.org/GraphicNovel", "other"),
        ("Hardcover", "hardcover"),
        ("Hardback", "hardcover"),
        ("hbk", "hardcover"),
        ("Hardcover, 320 pages", "hardcover"),
        ("Gebundene Ausgabe", "hardcover"),
        ("Gebunden", "hardcover"),
        ("Relié", "hardcover"),
        ("Tapa dura", "hardcover"),
        ("Copertina rigida", "hardcover"),
        ("Gebonden", "hardcover"),
        ("Twarda", "hardcover"),
        ("Inbunden", "hardcover"),
        ("Paperback", "paperback"),
        ("Mass Market Paperback", "paperback"),
        ("pbk.", "paperback"),
        ("Softcover", "paperback"),
        ("Taschenbuch", "paperback"),
        ("Broché", "paperback"),
        ("Livre de poche", "paperback"),
        ("Tapa blanda", "paperback"),
        ("Rústica", "paperback"),
        ("Copertina flessibile", "paperback"),
        ("Häftad", "paperback"),
        ("Kindle Edition", "ebook"),
        ("eBook (EPUB)", "ebook"),
        ("E-Book", "ebook"),
        ("PDF", "ebook"),
        ("Livre numérique", "ebook"),
        ("Audiobook", "audiobook"),
        ("Audio CD", "audiobook"),
        ("Hörbuch", "audiobook"),
        ("livre audio (MP3)", "audiobook"),
        ("Audiolibro", "audiobook"),
        ("Luisterboek", "audiobook"),
        ("Spiral-bound", "other"),
        ("Board book", "other"),
        ("Large print paperback", "paperback"),
        ("", None),
        (None, None),
        ("Paperback or Kindle", "several_formats"),
        ("Hardcover / Paperback", "several_formats"),
        ("Wood", "unknown_format"),
        ("320 pages", "unknown_format"),
        (5, "not_a_format"),
    ],
)
def test_a_format(value: object, expected: str | None) -> None:
    parsed = parse_format(value)
    assert (parsed.fault.code if parsed.fault else parsed.value) == expected


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("https://schema.org/InStock", "in_stock"),
        ("http://schema.org/InStock/", "in_stock"),
        ("InStock", "in_stock"),
        ("instock", "in_stock"),
        ("in_stock", "in_stock"),
        ("schema:LimitedAvailability", "in_stock"),
        ("https://schema.org/OutOfStock", "out_of_stock 0"),
        ("http://www.schema.org/SoldOut", "out_of_stock 0"),
        ("oos", "out_of_stock 0"),
        ("PreOrder", "pre_order"),
        ("https://schema.org/PreSale", "pre_order"),
        ("https://schema.org/BackOrder", "back_order"),
        ("Discontinued", "discontinued 0"),
        ("In stock (19 available)", "in_stock 19"),
        ("19 in stock", "in_stock 19"),
        ("In stock: 5", "in_stock 5"),
        ("Only 3 left", "in_stock 3"),
        ("1,204 available", "in_stock 1204"),
        ("1.204 Stück auf Lager", "in_stock 1204"),
        ("Noch 3 Exemplare auf Lager", "in_stock 3"),
        ("Lagerbestand: 12", "in_stock 12"),
        ("12", "in_stock 12"),
        ("0 in stock", "out_of_stock 0"),
        ("10+ in stock", "in_stock"),
        ("More than 10 available", "in_stock"),
        ("In stock - delivered in 1-2 days", "in_stock"),
        ("In stock at 3 shops", "in_stock"),
        ("Out of stock until 2027", "out_of_stock 0"),
        ("Temporarily out of stock, 12 customers wait", "out_of_stock 0"),
        ("Not in stock (3 on their way)", "out_of_stock 0"),
        ("Currently unavailable", "out_of_stock 0"),
        ("No longer available", "discontinued 0"),
        ("Pre-order: out in 2027", "pre_order"),
        ("Available on backorder", "back_order"),
        ("Auf Lager", "in_stock"),
        ("Sofort lieferbar", "in_stock"),
        ("Nicht vorrätig", "out_of_stock 0"),
        ("Derzeit nicht verfügbar", "out_of_stock 0"),
        ("Ausverkauft", "out_of_stock 0"),
        ("Vorbestellbar", "pre_order"),
        ("Nicht mehr lieferbar", "discontinued 0"),
        ("En stock", "in_stock"),
        ("Disponible", "in_stock"),
        ("En rupture de stock", "out_of_stock 0"),
        ("Épuisé", "out_of_stock 0"),
        ("À paraître", "pre_order"),
        ("Sur commande", "back_order"),
        ("Agotado", "out_of_stock 0"),
        ("No disponible", "out_of_stock 0"),
        ("Disponibile", "in_stock"),
        ("Non disponibile", "out_of_stock 0"),
        ("Esaurito", "out_of_stock 0"),
        ("Op voorraad", "in_stock"),
        ("Niet op voorraad", "out_of_stock 0"),
        ("Uitverkocht", "out_of_stock 0"),
        ("Available from 2027", None),
        ("Usually ships within 24 hours", None),
        ("https://schema.org/Reserved", None),
        ("1-2 left", None),
        ("4.5 left", None),
        ("?" * 5000, None),
        ("", None),
        (None, None),
        ({}, "not_an_availability"),
    ],
)
def test_availability_is_known_or_unknown(value: object, expected: str | None) -> None:
    parsed = parse_availability(value)
    if parsed.value:
        stock = "" if parsed.value.stock is None else f" {parsed.value.stock}"
        assert f"{parsed.value.state}{stock}" == expected
    else:
        assert (parsed.fault.code if parsed.fault else None) == expected


@pytest.mark.parametrize(
    ("value", "title", "expected"),
    [
        ("Poetry", None, ("Poetry",)),
        ("Home > Fiction > Crime", None, ("Fiction", "Crime")),
        ("Startseite » Bücher » Krimi", None, ("Bücher", "Krimi")),
        ("Accueil › Livres › Romans", None, ("Livres", "Romans")),
        ("You are here: Home > Poetry", None, ("Poetry",)),
        ("Books|Poetry", None, ("Books", "Poetry")),
        ("FICTION / Science Fiction / General", None, ("FICTION", "Science Fiction")),
        ("FIC028000", None, ("Fiction",)),
        ("FIC028000 FICTION / Science Fiction / Space Opera", None, ("FICTION", "Science Fiction", "Space Opera")),
        ("Travel &amp; Maps", None, ("Travel & Maps",)),
        ("Sci-Fi/Fantasy", None, ("Sci-Fi/Fantasy",)),
        (["Books", "Poetry", " "], None, ("Books", "Poetry")),
        (["Home", "Books", "Poetry"], None, ("Books", "Poetry")),
        (["Home", "Books", "Salt & Iron"], "Salt & Iron", ("Books",)),
        (["Home", "Books", "Salt & Ir…"], "Salt & Iron of Old", ("Books",)),
        (["Fiction > Crime", "Fiction > Drama"], None, ("Fiction", "Crime")),
        ("Poetry", "Poetry", ("Poetry",)),  # the only category is no breadcrumb
        ("Home", None, None),
        ("784", None, None),
        ("", None, None),
        (None, None, None),
        ([], None, None),
    ],
)
def test_a_category_is_a_path_without_home_and_title(
    value: object, title: str | None, expected: tuple[str, ...] | None
) -> None:
    parsed = parse_categories(value, title=title)
    assert parsed.fault is None
    assert parsed.value == expected


def test_an_object_is_no_category() -> None:
    fault = parse_categories({"name": "Poetry"}).fault
    assert fault is not None
    assert fault.code == "not_a_category"
