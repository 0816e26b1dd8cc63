"""Contributors, in the page's order."""

import pytest
from bookwheel_extraction.values.contributors import (
    Contributor,
    Role,
    merge_contributors,
    parse_contributors,
    parse_role,
)


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("Tomas Rell", "Tomas Rell"),
        ("Rell, Tomas", "Rell, Tomas"),
        ("Le Guin, Ursula K.", "Le Guin, Ursula K."),
        ("García Márquez, Gabriel", "García Márquez, Gabriel"),
        ("Tolkien, J. R. R.", "Tolkien, J. R. R."),
        ("van Gogh, Vincent", "van Gogh, Vincent"),
        ("Martin Luther King, Jr.", "Martin Luther King, Jr."),
        ("Simon & Schuster", "Simon & Schuster"),
        ("Jacob & Wilhelm Grimm", "Jacob & Wilhelm Grimm"),
        ("José Ortega y Gasset", "José Ortega y Gasset"),
        ("Madonna, Prince", "Madonna, Prince"),
        ("Homer", "Homer"),
        ("Lord Byron", "Lord Byron"),
        ("Byron Lee", "Byron Lee"),
        ("H.C. Andersen", "H.C. Andersen"),
        ("O&#39;Brien, Tim", "O'Brien, Tim"),
        ("أثير عبدالله النشمي", "أثير عبدالله النشمي"),
        ("村上 春樹", "村上 春樹"),
        ("Ann Lee (Goodreads Author)", "Ann Lee (Goodreads Author)"),
        ("Tomas Rell, Ula Brandt", "Tomas Rell | Ula Brandt"),
        ("Tomas Rell and Ula Brandt", "Tomas Rell | Ula Brandt"),
        ("Tomas Rell & Ula Brandt", "Tomas Rell | Ula Brandt"),
        ("Tomas Rell und Ula Brandt", "Tomas Rell | Ula Brandt"),
        ("Tomas Rell et Ula Brandt", "Tomas Rell | Ula Brandt"),
        ("by Tomas Rell & Ula Brandt", "Tomas Rell | Ula Brandt"),
        ("By: Tomas Rell", "Tomas Rell"),
        ("Ann Lee, Bo Kay and Cy Mu", "Ann Lee | Bo Kay | Cy Mu"),
        ("Ann Lee, Bo Kay, and Cy Mu", "Ann Lee | Bo Kay | Cy Mu"),
        ("Ann Lee; Bo Kay", "Ann Lee | Bo Kay"),
        ("Lee, Ann; Kay, Bo", "Lee, Ann | Kay, Bo"),
        ("Lee, A., Kay, B.", "Lee, A. | Kay, B."),
        ("A. Lee, B. Kay", "A. Lee | B. Kay"),
        ("Ann Lee / Bo Kay", "Ann Lee | Bo Kay"),
        ("Smith, John and Jane Doe", "Smith, John | Jane Doe"),
        ("Robert C. Martin, Jr., Ann Lee", "Robert C. Martin, Jr. | Ann Lee"),
        ("Ludwig van Beethoven, Vincent van Gogh", "Ludwig van Beethoven | Vincent van Gogh"),
        ("Ann Lee et al.", "Ann Lee"),
        ("Ann Lee, Ann Lee", "Ann Lee"),
        (["Ada Quill", "ada quill", "Ben Reed"], "Ada Quill | Ben Reed"),
        ("Ann Lee (Illustrator)", "Ann Lee=illustrator"),
        ("Ann Lee [Translator]", "Ann Lee=translator"),
        ("Ann Lee (Hrsg.)", "Ann Lee=editor"),
        ("Ann Lee (ed.)", "Ann Lee=editor"),
        ("Ann Lee, Bo Kay (Eds.)", "Ann Lee=editor | Bo Kay=editor"),
        ("Ann Lee, Editor", "Ann Lee=editor"),
        ("Ann Lee (Übersetzer)", "Ann Lee=translator"),
        ("Ann Lee (Traducteur)", "Ann Lee=translator"),
        ("Ann Lee (Sprecherin)", "Ann Lee=narrator"),
        ("Ann Lee (Foreword)", "Ann Lee=other"),
        ("Ann Lee (Author), Bob Kay (Illustrator)", "Ann Lee | Bob Kay=illustrator"),
        ("Ann Lee, Bob Kay (Narrator)", "Ann Lee | Bob Kay=narrator"),
        ("Ann Lee (Author, Illustrator)", "Ann Lee | Ann Lee=illustrator"),
        ("Ann Lee, illustrated by Bob Kay", "Ann Lee | Bob Kay=illustrator"),
        ("Ann Lee. Translated by Bo Mu", "Ann Lee | Bo Mu=translator"),
        ("Herausgegeben von Ann Lee und Bo Kay", "Ann Lee=editor | Bo Kay=editor"),
        ("traduit par Ann Lee", "Ann Lee=translator"),
        ("read by Stephen Fry", "Stephen Fry=narrator"),
        ("Autor: Ann Lee", "Ann Lee"),
        ("Author(s): Ann Lee", "Ann Lee"),
        ("N/A", ""),
        ("Unknown", ""),
        ("", ""),
        (None, ""),
        ("https://shop.example/ann", ""),
    ],
)
def test_contributors_have_names_as_found_and_roles(value: object, expected: str) -> None:
    parsed = parse_contributors(value)
    assert parsed.fault is None
    shown = (
        contributor.name if contributor.role is Role.AUTHOR else f"{contributor.name}={contributor.role}"
        for contributor in parsed.value or ()
    )
    assert " | ".join(shown) == expected


@pytest.mark.parametrize(
    ("value", "code"),
    [
        (12, "not_a_name"),
        ({}, "not_a_name"),
        ("x" * 20_000, "not_a_name"),
        ("x" * 2000, "too_long"),
        ([f"Ann Lee {chr(97 + n % 26)}{n}" for n in range(101)], "too_many"),
    ],
)
def test_what_is_no_name_is_refused(value: object, code: str) -> None:
    fault = parse_contributors(value).fault
    assert fault is not None
    assert fault.code == code


def test_the_field_gives_names_their_role() -> None:
    assert parse_contributors("by Ann Lee", Role.NARRATOR).value == (Contributor("Ann Lee", Role.NARRATOR),)


def test_statements_are_merged_in_their_order() -> None:
    ann, bo = Contributor("Ann Lee"), Contributor("Bo Kay")
    assert merge_contributors([[ann], [bo, Contributor("ann lee")], [Contributor("Ann Lee", Role.EDITOR)]]) == (
        ann,
        bo,
        Contributor("Ann Lee", Role.EDITOR),
    )


def test_a_role_is_named_by_word_or_phrase() -> None:
    assert parse_role("Illustrator") is Role.ILLUSTRATOR
    assert parse_role("Hrsg.") is Role.EDITOR
    assert parse_role("Translated by") is Role.TRANSLATOR
    assert parse_role("(ed.)") is Role.EDITOR
    assert parse_role("friend") is None
    assert parse_role(None) is None
