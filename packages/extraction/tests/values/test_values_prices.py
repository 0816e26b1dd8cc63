"""Prices: each text with the price that a reader sees, or with the reason why it has none."""

import pytest
from bookwheel_contracts import Money
from bookwheel_extraction.values import Parsed
from bookwheel_extraction.values.currencies import currency_of_country, parse_currency
from bookwheel_extraction.values.prices import parse_markup_price, parse_price, parse_text_price


def shown(price: Parsed[Money]) -> str | None:
    """The price as text, or the code of the fault."""
    if price.value:
        return f"{price.value.amount} {price.value.currency}"
    return price.fault.code if price.fault else None


TEXTS = [
    # Notations
    ("£51.77", "51.77 GBP"),
    ("Â£51.77", "51.77 GBP"),  # UTF-8 that was read as Latin-1
    ("51,77 €", "51.77 EUR"),
    ("€ 51,77", "51.77 EUR"),
    ("EUR12", "12.00 EUR"),
    ("USD 12", "12.00 USD"),
    ("12 EUR", "12.00 EUR"),
    ("12,99 Euro", "12.99 EUR"),
    ("1.234,50 €", "1234.50 EUR"),
    ("1.299,00 €", "1299.00 EUR"),
    ("1 299,00 €", "1299.00 EUR"),
    ("1\u00a0299,00 €", "1299.00 EUR"),
    ("1\u202f299,00 €", "1299.00 EUR"),
    ("1\u2009299,00 €", "1299.00 EUR"),
    ("CHF 1’299.00", "1299.00 CHF"),
    ("CHF 1'299.00", "1299.00 CHF"),
    ("1'299.— CHF", "1299.00 CHF"),
    ("12.- CHF", "12.00 CHF"),
    ("CHF 12.—", "12.00 CHF"),
    ("Fr. 12.50", "no_currency"),  # also of other countries
    ("SFr. 12.50", "12.50 CHF"),
    ("12,— €", "12.00 EUR"),
    ("12,- €", "12.00 EUR"),
    ("12:- SEK", "12.00 SEK"),
    (",89 €", "0.89 EUR"),
    ("€ ,89", "0.89 EUR"),
    (".89 £", "0.89 GBP"),
    ("0,99 €", "0.99 EUR"),
    ("₹1,23,456.00", "123456.00 INR"),
    ("₹ 12,34,567", "1234567.00 INR"),
    ("INR 1,299", "1299.00 INR"),
    ("1,234,567.890 USD", "1234567.89 USD"),
    ("US$1,234.5", "1234.50 USD"),
    ("US$ 12.50", "12.50 USD"),
    ("A$ 20", "20.00 AUD"),
    ("NZ$20.00", "20.00 NZD"),
    ("CA$20", "20.00 CAD"),
    ("R$ 1.299,90", "1299.90 BRL"),
    ("HK$128", "128.00 HKD"),
    ("12,90 zł", "12.90 PLN"),
    ("1 299 Kč", "1299.00 CZK"),
    ("4 990 Ft", "4990.00 HUF"),
    ("250 ₽", "250.00 RUB"),
    ("250 грн.", "250.00 UAH"),
    ("12,50 лв.", "12.50 BGN"),
    ("₺129,90", "129.90 TRY"),
    ("TRY 12.50", "12.50 TRY"),
    ("฿350", "350.00 THB"),
    ("Rp 125.000", "125000.00 IDR"),
    ("RM 45.90", "45.90 MYR"),
    ("S/ 45.90", "45.90 PEN"),
    ("24€90", "24.90 EUR"),
    ("24,90€", "24.90 EUR"),
    ("１２．９９ £", "12.99 GBP"),
    ("￡12.99", "12.99 GBP"),
    ("٢٤٫٩٠ د.إ", "24.90 AED"),
    ("\u200f₪ 89.00\u200f", "89.00 ILS"),
    ("0.350 €", "0.35 EUR"),
    ("£0.035", "0.0350 GBP"),
    ("£9999999999.99994", "9999999999.9999 GBP"),
    # Currencies with no or three decimals
    ("JPY 1,200", "1200.00 JPY"),
    ("1200円", "1200.00 JPY"),
    ("1,200 円", "1200.00 JPY"),
    ("₩19,800", "19800.00 KRW"),
    ("ISK 4.990", "4990.00 ISK"),
    ("125.000 ₫", "125000.00 VND"),
    ("CLP 12.990", "12990.00 CLP"),
    ("KWD 12.500", "12.50 KWD"),
    ("12,500 TND", "12.50 TND"),
    ("12,500 KWD", "ambiguous"),
    # One separator before three digits
    ("1.299 €", "1299.00 EUR"),
    ("€ 1.299", "1299.00 EUR"),
    ("€1,299", "1299.00 EUR"),
    ("1,299 €", "ambiguous"),
    ("£1,299", "1299.00 GBP"),
    ("£3.350", "ambiguous"),
    ("USD 1.234", "ambiguous"),
    ("1.299 CHF", "ambiguous"),
    ("1.299 DKK", "1299.00 DKK"),
    ("1,299 SEK", "ambiguous"),
    # Words around a price
    ("Our price: £12.99", "12.99 GBP"),
    ("Preis: 12,99 € inkl. 19 % MwSt.", "12.99 EUR"),
    ("12,99 €*", "12.99 EUR"),
    ("Prix : 12,50 € TTC", "12.50 EUR"),
    ("Precio: 12,50 €", "12.50 EUR"),
    ("Prezzo 12,50 €", "12.50 EUR"),
    ("Price - £5.00", "5.00 GBP"),
    ("Hardcover £12.99", "12.99 GBP"),
    ("Kindle Edition £4.99", "4.99 GBP"),
    ("Set of 3 volumes, now only 24,90 €", "24.90 EUR"),
    ("3 Bände, jetzt nur 24,90 €", "24.90 EUR"),
    ("£10 - 2 left", "10.00 GBP"),
    ("£12.99£12.99", "12.99 GBP"),
    ("12,00 € 12,00 €", "12.00 EUR"),
    # Ranges have the lower price
    ("£10.00-£12.00", "10.00 GBP"),
    ("£10.00 \u2013 £12.00", "10.00 GBP"),
    ("£12.00\u2013£10.00", "10.00 GBP"),
    ("1.234,50 € - 2.000,00 €", "1234.50 EUR"),
    ("10.00-12.00 USD", "10.00 USD"),
    ("from £10.50 - £12.99 each", "10.50 GBP"),
    # Free
    ("£0.00", "0.00 GBP"),
    ("0,00 €", "0.00 EUR"),
    ("Free", "no_currency"),
    ("Free delivery", "not_a_price"),
    # No currency
    ("12.00", "no_currency"),
    ("$12.50", "no_currency"),
    ("$1,234.5", "no_currency"),
    ("¥1,200", "no_currency"),
    ("￥1200", "no_currency"),
    ("kr 299", "no_currency"),
    ("199:- kr", "no_currency"),
    ("Rs. 1,23,456.00", "no_currency"),
    ("R273.00", "no_currency"),
    ("C$20", "no_currency"),
    ("45 lei", "no_currency"),
    ("250 руб.", "no_currency"),
    # Several numbers, and words that change the meaning of an amount
    ("was 24.00 € now 18.00 €", "several_numbers"),
    ("£24.00 £18.00", "several_numbers"),
    ("12,99€ 13,99€", "several_numbers"),
    ("12,99 € (CHF 15.90)", "several_numbers"),
    ("10 £ 20 €", "several_numbers"),
    ("2 for 10 €", "several_numbers"),
    ("2 books for £10", "several_numbers"),
    ("2 pairs from £349", "several_numbers"),
    ("Buy Now - 2 Litre Was £120.00 Now £60.00", "several_numbers"),
    ("1 x 12,00 €", "several_numbers"),
    ("£12 99", "several_numbers"),
    ("£ 12 . 99", "several_numbers"),
    ("from 5 €", "unclear"),
    ("ab 5 €", "unclear"),
    ("à partir de 5 €", "unclear"),
    ("De 50,00 €", "unclear"),  # Portuguese: was
    ("van 12,00 €", "unclear"),  # Dutch: was
    ("10 % off", "unclear"),
    ("5.00 € -10%", "unclear"),
    ("£5 off", "unclear"),
    ("Save £5", "unclear"),
    ("Sie sparen 5,00 €", "unclear"),
    ("statt 20,00 €", "unclear"),
    ("RRP £20", "unclear"),
    ("UVP 12 €", "unclear"),
    ("£12 + £3 delivery", "unclear"),
    ("free delivery over £20", "unclear"),
    ("12 €/kg", "unclear"),
    ("£2.50 per month", "unclear"),
    ("£2.50/month", "unclear"),
    ("12,99 € zzgl. 19 % MwSt.", "unclear"),
    ("Tax: £2.00", "unclear"),
    ("inkl. MwSt. 1,20 €", "unclear"),
    ("Only £5 left", "unclear"),
    ("(£5.00)", "unclear"),
    ("ca. 12 €", "unclear"),
    ("99p", "unclear"),
    ("£12·99", "unclear"),
    ("Band 2 190,00 €", "unclear"),
    ("Volume 3 299,00 €", "unclear"),
    ("£12.99-", "unclear"),
    ("1/2 €", "unclear"),
    # No price
    ("Call us", "not_a_price"),
    ("½ €", "not_a_price"),
    ("24²⁰ €", "not_a_price"),
    ("£1e400", "not_a_price"),
    ("1,00E+03 €", "not_a_price"),
    ("12.99.99 €", "not_a_price"),
    ("1,,299 €", "several_numbers"),
    ("£007", "not_a_price"),
    ("-5.00 €", "negative"),
    ("£-5.00", "negative"),
    ("-£5.00", "negative"),
    ("\N{MINUS SIGN}£5.00", "negative"),
    ("\N{EN DASH}£5.00", "negative"),
    ("EUR -5.00", "negative"),
    ("£9999999999.99999", "too_large"),
    ("£" + "9" * 300, "too_long"),
]


@pytest.mark.parametrize(("text", "expected"), TEXTS)
def test_a_text_has_a_price_or_the_reason_why_not(text: str, expected: str) -> None:
    assert shown(parse_text_price(text)) == expected


@pytest.mark.parametrize(
    ("value", "currency", "expected"),
    [
        ("19.950", "EUR", "19.95 EUR"),
        ("1.234", "EUR", "1.2340 EUR"),
        ("51.77", "gbp", "51.77 GBP"),
        ("51.77", "£", "51.77 GBP"),
        (51.77, "GBP", "51.77 GBP"),
        (12, "GBP", "12.00 GBP"),
        ("1299", "USD", "1299.00 USD"),
        ("1,299.00", "USD", "1299.00 USD"),
        ("1,299", "USD", "1299.00 USD"),
        ("1,299", "EUR", "ambiguous"),
        ("12,50", "EUR", "12.50 EUR"),
        ("1.299,00", "EUR", "1299.00 EUR"),
        ("1 299.00", "EUR", "1299.00 EUR"),
        ("19.950 €", None, "ambiguous"),
        ("19.950", "KRW", "ambiguous"),
        ("19950", "KRW", "19950.00 KRW"),
        ("12.500", "KWD", "12.50 KWD"),
        ("£12.99", "GBP", "12.99 GBP"),
        ("$12.99", "USD", "12.99 USD"),
        ("$12.99", "EUR", "currency_conflict"),
        ("£12.99", "EUR", "currency_conflict"),
        ("0.00", "GBP", "0.00 GBP"),
        ("0", "EUR", "0.00 EUR"),
        ("free", "EUR", "0.00 EUR"),
        ("kostenlos", "EUR", "0.00 EUR"),
        ("12.00", None, "no_currency"),
        ("12.00", "$", "no_currency"),
        ("12.00", "doubloons", "unknown_currency"),
        ("12.00", "\u20bf", "unknown_currency"),
        ("12.00", "ZWL", "12.00 ZWL"),
        ("1e3", "EUR", "not_a_price"),
        (1e-7, "GBP", "too_small"),
        (float("inf"), "GBP", "not_a_price"),
        (True, "GBP", "not_a_price"),
        ({"amount": 3}, "GBP", "not_a_price"),
        ("9" * 30, "GBP", "too_large"),
        (10**500, "GBP", "too_long"),
        ("-5.00", "GBP", "negative"),
        (None, "GBP", None),
        ("", None, None),
        ("  ", None, None),
    ],
)
def test_markup_follows_the_notation_of_schema_org(value: object, currency: str | None, expected: str | None) -> None:
    assert shown(parse_markup_price(value, currency)) == expected


@pytest.mark.parametrize(
    ("value", "expected"),
    [("19.950", "19.95 EUR"), ("19.950 €", "19950.00 EUR"), ("1.234,50", "1234.50 EUR"), ("1,234", "ambiguous")],
)
def test_a_value_of_unknown_origin_is_markup_only_as_a_plain_number(value: str, expected: str) -> None:
    assert shown(parse_price(value, "EUR")) == expected


@pytest.mark.parametrize(
    ("text", "hint", "expected"),
    [
        ("$12.50", "CAD", "12.50 CAD"),
        ("$12.50", "EUR", "no_currency"),
        ("¥1,200", "JPY", "1200.00 JPY"),
        ("299 kr", "NOK", "299.00 NOK"),
        ("1.299 kr", "DKK", "1299.00 DKK"),
        ("Rs. 1,299", "INR", "1299.00 INR"),
        ("R273.00", "ZAR", "273.00 ZAR"),
        ("12,99", "EUR", "12.99 EUR"),
        ("£12.99", "EUR", "12.99 GBP"),
        ("1.299", "EUR", "1299.00 EUR"),
        ("Gratis", "EUR", "0.00 EUR"),
    ],
)
def test_a_hint_only_completes_a_price(text: str, hint: str, expected: str) -> None:
    assert shown(parse_text_price(text, hint=hint)) == expected


@pytest.mark.parametrize(
    ("value", "hint", "code"),
    [
        ("EUR", None, "EUR"),
        ("eur", None, "EUR"),
        ("€", None, "EUR"),
        ("Euro", None, "EUR"),
        ("RMB", None, "CNY"),
        ("$", None, None),
        ("$", "MXN", "MXN"),
        ("$", "SEK", None),
        ("kr", "SEK", "SEK"),
        ("zł", None, "PLN"),
        ("bitcoin", None, None),
        (5, None, None),
    ],
)
def test_a_currency(value: object, hint: str | None, code: str | None) -> None:
    assert parse_currency(value, hint=hint) == code


def test_a_country_has_a_currency() -> None:
    assert [currency_of_country(country) for country in ("de", "GB", "CH", "US", "SE", "??", None)] == [
        "EUR",
        "GBP",
        "CHF",
        "USD",
        "SEK",
        None,
        None,
    ]
