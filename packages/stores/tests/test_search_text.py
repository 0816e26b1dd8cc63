"""Folding, parsing, ranking and completing search-box input."""

import unicodedata

import pytest
from bookwheel_contracts import Book
from bookwheel_stores.search import IndexReader, open_index_reader, open_index_writer
from bookwheel_stores.search.queries import Clause, SearchCriteria, SearchQuery, Sort, SuggestionKind
from bookwheel_stores.search.text import MAX_WORD_LENGTH, fold_quickly, fold_words, parse_text
from bookwheel_testing.sample_books import sample_book, sample_state, state_of
from hypothesis import assume, given, settings
from hypothesis import strategies as st

SLOW = settings(max_examples=50, deadline=None)
TITLES = {
    1: ("The Moon", "Ann Lee", "Science", "A quiet book."),
    2: ("The Moon over Łódź", "Émile Zola", "Fiction", "Nothing rises here."),
    3: ("Harry Potter and the Moon", "J. K. Rowling", "Fantasy", "Magic."),
    4: ("Tides", "Ann Moon", "Science", "How water moves."),
    5: ("Stars", "Ole Sørensen", "Science", "The moon and other lights."),
    6: ("Sci-Fi Tales: Don't Panic", "Ann Lee", "Science Fiction", "Short stories."),
    7: ("吾輩は猫である", "夏目漱石", "Fiction", "A cat speaks."),
    8: ("Ελληνική ιστορία", "Ann Lee", "History", ""),
    9: ("The Moon", "Zoë Quinn", "History", "Again."),
}


def book(number: int) -> Book:
    title, author, category, description = TITLES[number]
    return sample_book(number, title=title, authors=(author,), category=category, description=description or None)


@pytest.fixture(scope="module")
def index(search_url: str) -> IndexReader:
    with open_index_writer(search_url) as writer:
        writer.apply([state_of(book(number)) for number in TITLES])
    return open_index_reader(search_url)


def hits(index: IndexReader, text: str, *, name: str | None = None) -> list[int]:
    query = SearchQuery(SearchCriteria(parse_text(text, field=name)), Sort.RELEVANCE, 50)
    return [int(item.split(b'"')[3].partition(b":")[2]) for item in index.search(query).items]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("Don't STOP, Łódź!", ["dont", "stop", "lodz"]),
        ("Straße Æther œuvre", ["strasse", "aether", "oeuvre"]),
        ("Ελληνική Ιστορία", ["ελληνικη", "ιστορια"]),
        ("吾輩は猫", ["吾", "輩", "は", "猫"]),
        ("한국어 책", ["한국어", "책"]),
        ("\ufb01ne \uff12\uff10", ["fine", "20"]),
        ("_a_b\0c\n", ["a", "b", "c"]),
        ("!?… — 🌙", []),
        ("x" * 100, ["x" * MAX_WORD_LENGTH, "x" * (100 - MAX_WORD_LENGTH)]),
    ],
)
def test_folding_returns_plain_words(text: str, words: list[str]) -> None:
    assert fold_words(text) == words


@given(st.text())
def test_folding_is_idempotent(text: str) -> None:
    words = fold_words(text)
    assert fold_words(" ".join(words)) == words


_pieces = st.sampled_from(["don't", "'", "_", "x" * MAX_WORD_LENGTH, "\u2019s", "É", "\u0301", "\ufb01", "가", "-"])
_texts = st.lists(_pieces | st.text(st.characters(max_codepoint=0x2FFF), max_size=3)).map("".join)


@given(_texts)
def test_folding_keeps_all_letters_and_digits_without_case_and_marks(text: str) -> None:
    """Compares with the definition, character by character, except letters that only our folding replaces."""
    assume(not set("øłđħŧæœþð\u0131ĸ") & set(unicodedata.normalize("NFKD", text).casefold()))
    bare = unicodedata.normalize("NFKD", text).casefold()
    bare = "".join(character for character in bare if unicodedata.category(character) != "Mn")
    expected = [character for character in unicodedata.normalize("NFC", bare) if character.isalnum()]
    assert "".join(fold_words(text)) == "".join(expected)
    assert all(0 < len(word) <= MAX_WORD_LENGTH for word in fold_words(text))


@given(_texts | st.text(st.characters(codec="ascii")))
def test_quick_folding_returns_the_same_words(text: str) -> None:
    assert [word for word in fold_quickly(text).split(" ") if word] == fold_words(text)


@SLOW
@given(st.text(max_size=60))
def test_any_text_can_be_searched_for(index: IndexReader, text: str) -> None:
    hits(index, text)
    index.suggest(fold_words(text), list(SuggestionKind), limit=3)


def test_words_phrases_and_exclusions_are_parsed() -> None:
    query = parse_text('moon "Harry Potter" -tides -"the end" sci-fi "" - "open')
    assert query.required == (
        Clause(("moon",)),
        Clause(("harry", "potter"), exact=True),
        Clause(("sci", "fi")),
        Clause(("open",), exact=True),
    )
    assert query.excluded == (Clause(("tides",), exact=True), Clause(("the", "end"), exact=True))


def test_exact_titles_rank_first_then_titles_that_start_with_the_words(index: IndexReader) -> None:
    assert hits(index, "the moon")[:3] in ([1, 9, 2], [9, 1, 2])
    assert hits(index, "moon")[-1] == 5  # only its description has the word
    assert hits(index, "moon").index(4) > hits(index, "moon").index(3)  # an author counts less than a title


@pytest.mark.parametrize(
    ("text", "numbers"),
    [
        ("lodz", {2}),
        ("ŁÓDŹ", {2}),
        ("emile zola", {2}),
        ("sorensen", {5}),
        ("hary poter", {3}),
        ("rolwing", {3}),
        ("dont panic", {6}),
        ("sci-fi", {6}),
        ('"harry potter"', {3}),
        ('"potter harry"', set()),
        ('"hary potter"', set()),
        ("moon -harry", {1, 2, 4, 5, 9}),
        ("-moon", {6, 7, 8}),
        ("猫", {7}),
        ("ελληνικη", {8}),
        ("moon tides", {4}),
        ("moo", set()),
        ("???", set()),
    ],
)
def test_typos_case_and_diacritics_are_ignored_and_every_word_must_match(
    index: IndexReader, text: str, numbers: set[int]
) -> None:
    assert set(hits(index, text)) == numbers


def test_a_text_can_be_searched_in_one_field(index: IndexReader) -> None:
    assert set(hits(index, "moon", name="author")) == {4}
    assert set(hits(index, "moon", name="description")) == {5}
    assert set(hits(index, "fiktion", name="category")) == {2, 6, 7}


def suggest(index: IndexReader, prefix: str, *kinds: SuggestionKind) -> list[tuple[str, int]]:
    suggestions = index.suggest(fold_words(prefix), kinds or list(SuggestionKind), limit=10)
    return [(item.text, item.count) for item in suggestions]


def test_names_are_completed_from_any_word_with_typos(index: IndexReader) -> None:
    assert suggest(index, "ann") == [("Ann Lee", 3), ("Ann Moon", 1)]
    assert suggest(index, "sore") == [("Ole Sørensen", 1)]
    assert suggest(index, "sciennce fic", SuggestionKind.CATEGORY) == [("Science Fiction", 1)]
    assert suggest(index, "the mo", SuggestionKind.TITLE) == [
        ("The Moon", 2),
        ("The Moon over Łódź", 1),
        ("Harry Potter and the Moon", 1),
    ]
    assert suggest(index, "harr pot") == [("Harry Potter and the Moon", 1)]
    assert suggest(index, "") == []
    assert suggest(index, "zzzzz") == []
    assert index.suggest(["a"], list(SuggestionKind), limit=1)[0].text == "Ann Lee"


@pytest.mark.parametrize(
    "kinds", [(SuggestionKind.TITLE, SuggestionKind.AUTHOR), (SuggestionKind.AUTHOR, SuggestionKind.TITLE)]
)
def test_completions_with_typos_rank_the_same_for_any_order_of_kinds(
    new_search_url: str, kinds: tuple[SuggestionKind, ...]
) -> None:
    titles_and_authors = [("Moonrise", "Ann"), ("Tides", "Moonrisa"), ("Stars", "Moonrisa")]
    with open_index_writer(new_search_url) as writer:
        writer.apply(
            [
                sample_state(number, title=title, authors=(author,))
                for number, (title, author) in enumerate(titles_and_authors, start=1)
            ]
        )
    index = open_index_reader(new_search_url)
    suggestions = index.suggest(["moonrix"], kinds, limit=1)
    assert [(item.text, item.count) for item in suggestions] == [("Moonrisa", 2)]
