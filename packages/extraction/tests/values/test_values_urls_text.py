"""URLs and texts."""

import tracemalloc

import pytest
from bookwheel_extraction.values.text import clean_label, parse_prose, parse_text
from bookwheel_extraction.values.urls import normalize_url, page_path
from hypothesis import given
from hypothesis import strategies as st


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("HTTP://Shop.Example:80/a/b.html#top", "http://shop.example/a/b.html"),
        ("https://shop.example:443", "https://shop.example/"),
        ("https://shop.example:8443/a?utm_source=x&id=3&gclid=y", "https://shop.example:8443/a?id=3"),
        ("http://[::1]:8085/a", "http://[::1]:8085/a"),
        ("https://s.example/b/7;jsessionid=AB12", "https://s.example/b/7"),
        ("https://s.example/b/7;JSESSIONID=AB12?x=1", "https://s.example/b/7?x=1"),
        ("https://s.example/b/%37", "https://s.example/b/7"),
        (" https://s.example/b/7#reviews ", "https://s.example/b/7"),
        ("https://s.example/b\n/7", "https://s.example/b/7"),
        ("https://s.example/b/7/", "https://s.example/b/7/"),
        ("https://s.example/a b", "https://s.example/a%20b"),
        ("https://s.example/%c3%a9é", "https://s.example/%C3%A9%C3%A9"),
        ("https://s.example/a/../b/./c", "https://s.example/b/c"),
        ("https://s.example/a/..", "https://s.example/"),
        ("https://s.example/100%", "https://s.example/100%25"),
        ("https://s.example/b?", "https://s.example/b"),
        ("https://s.example/b?&&x=1", "https://s.example/b?x=1"),
        ("https://s.example/b?x=%2F%3f", "https://s.example/b?x=%2F%3F"),
        ("https://s.example/b?PHPSESSID=1&a=2", "https://s.example/b?a=2"),
        ("https://s.example/b?sid=0123456789abcdef0123456789abcdef", "https://s.example/b"),
        ("https://s.example/b?sid=12", "https://s.example/b?sid=12"),
        ("https://u:p@s.example/b", "https://s.example/b"),
        ("https://müller.example/x", "https://xn--mller-kva.example/x"),
    ],
)
def test_a_page_has_one_url(url: str, expected: str) -> None:
    assert normalize_url(url).value == expected
    assert normalize_url(expected).value == expected


def test_a_relative_url_is_resolved() -> None:
    assert normalize_url("../b/7", "https://s.example/a/b/").value == "https://s.example/a/b/7"
    assert normalize_url("//x.example/b", "https://s.example/a").value == "https://x.example/b"


@pytest.mark.parametrize(
    "url",
    [
        "ftp://a/b",
        "javascript:alert(1)",
        "/x",
        "http://",
        "http://a b/",
        "http://a:x/",
        "http://a/\x00b",
        "http://[::1/",
        "http://a/" + "x" * 3000,
        5,
    ],
)
def test_an_invalid_url_is_refused(url: object) -> None:
    assert normalize_url(url).fault is not None


def test_the_path_of_a_page_has_no_host_and_no_slash_at_its_end() -> None:
    variants = ["/b/7", "/b/7/", "/b/7?utm_source=home", "/b/7;jsessionid=AB12", "/b/%37", "/b/7#reviews"]
    assert {page_path(f"https://s.example{variant}").value for variant in variants} == {"/b/7"}
    assert page_path("https://s.example/").value == "/"
    assert page_path("https://s.example/b/?id=1").value == "/b?id=1"
    assert page_path("nowhere").fault is not None


@given(st.text(max_size=200))
def test_a_normal_url_stays_as_it_is(text: str) -> None:
    url = normalize_url(f"https://s.example/{text}").value
    if url is not None:
        assert url.isascii()
        assert normalize_url(url).value == url


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("  A  Light\n in the\tAttic ", "A Light in the Attic"),
        ("Salt &amp; Iron", "Salt & Iron"),
        ("Caf&eacute;", "Café"),
        ("Cafe\u0301", "Café"),
        ("nul\x00 and \ud800 and \u202e", "nul and and"),
        ("soft\u00adhyphen and \u200emark\u200f", "softhyphen and mark"),
        ("\ufeffTitle", "Title"),
        ("   ", None),
        (None, None),
        (12, "12"),
    ],
)
def test_text_is_one_clean_line(value: object, expected: str | None) -> None:
    assert parse_text(value).value == expected


@pytest.mark.parametrize("value", [True, [], {}])
def test_what_is_no_text_is_refused(value: object) -> None:
    assert parse_text(value).fault is not None
    assert parse_prose(value).fault is not None


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("<p>if a < b &lt;3<br/>then <b>bold</b></p><!-- no -->", "if a < b <3 then bold"),
        ("&lt;p&gt;A tale&lt;/p&gt;", "A tale"),
        ("Once&lt;br/&gt;upon &amp; a time", "Once upon & a time"),
        ("<a title='a &gt; b'>x</a>", "x"),
        ("&lt;p&gt; &lt;/p&gt;", None),
    ],
)
def test_prose_has_no_markup(value: str, expected: str | None) -> None:
    assert parse_prose(value).value == expected


def test_comments_of_any_length_are_removed() -> None:
    comment = f"<!-- {'<b>x</b> ' * 5000}-->"
    assert parse_prose(f"before{comment}after <!-- on and on").value == "before after <!-- on and on"
    assert parse_prose("<!--a-->b<!---->c<!-- <!-- d -->").value == "b c"


def test_a_letter_keeps_up_to_thirty_combining_marks() -> None:
    assert parse_text("q\u0323\u0302 x" + "\u0316" * 40).value == "q\u0323\u0302 x" + "\u0316" * 30


def test_a_long_label_is_not_cached() -> None:
    tracemalloc.start()
    try:
        for number in range(20):
            assert clean_label(f"{number:1000000d} ") == str(number)
        assert tracemalloc.get_traced_memory()[0] < 1_000_000
    finally:
        tracemalloc.stop()


@given(st.text())
def test_clean_text_is_stable_and_storable(text: str) -> None:
    cleaned = parse_text(text).value
    assert cleaned is None or (cleaned.encode() and "\x00" not in cleaned and cleaned == " ".join(cleaned.split()))


def test_a_label_is_clean_text() -> None:
    assert clean_label(" Travel &amp; Maps ") == "Travel & Maps"
