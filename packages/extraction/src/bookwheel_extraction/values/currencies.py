"""Finds currencies and holds how each writes its amounts."""

import re
from collections.abc import Mapping
from functools import lru_cache
from types import MappingProxyType

_CODES = frozenset(
    """AED AFN ALL AMD AOA ARS AUD AWG AZN BAM BBD BDT BGN BHD BIF BMD BND BOB BRL BSD BTN BWP BYN BZD CAD CDF CHF CLP
    CNY
    COP CRC CUP CVE CZK DJF DKK DOP DZD EGP ERN ETB EUR FJD FKP GBP GEL GHS GIP GMD GNF GTQ GYD HKD HNL HRK HTG HUF IDR
    ILS INR IQD IRR ISK JMD JOD JPY KES KGS KHR KMF KPW KRW KWD KYD KZT LAK LBP LKR LRD LSL LYD MAD MDL MGA MKD MMK MNT
    MOP MRU MUR MVR MWK MXN MYR MZN NAD NGN NIO NOK NPR NZD OMR PAB PEN PGK PHP PKR PLN PYG QAR RON RSD RUB RWF SAR SBD
    SCR SDG SEK SGD SHP SLE SOS SRD SSP STN SVC SYP SZL THB TJS TMT TND TOP TRY TTD TWD TZS UAH UGX USD UYU UZS VES VND
    VUV WST XAF XCD XOF XPF YER ZAR ZMW""".split()
)
_ALIASES = MappingProxyType({"RMB": "CNY", "RUR": "RUB", "NTD": "TWD", "EURO": "EUR", "EUROS": "EUR"})
_WORDS_LIKE_CODES = frozenset({"ALL", "TOP"})
_DOLLAR = """USD ARS AUD BBD BMD BND BSD BZD CAD CLP COP DOP FJD GYD HKD JMD KYD LRD MXN NAD NIO NZD SBD SGD SRD TTD TWD
    UYU XCD"""
_SIGNS: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {
        sign: tuple(codes.split())
        for sign, codes in {
            "\u20ac": "EUR",
            "\xa3": "GBP",
            "$": _DOLLAR,
            "\xa5": "JPY CNY",
            "\u5186": "JPY",
            "\u5143": "CNY TWD HKD",
            "\u20b9": "INR",
            "\u20a8": "INR PKR LKR NPR MUR SCR",
            "\u20bd": "RUB",
            "\u20b4": "UAH",
            "\u20a9": "KRW",
            "\uc6d0": "KRW",
            "\u20ba": "TRY",
            "\u20ab": "VND",
            "\u20b1": "PHP",
            "\u20aa": "ILS",
            "\u0e3f": "THB",
            "\u20a6": "NGN",
            "\u20b8": "KZT",
            "\u20be": "GEL",
            "\u20bc": "AZN",
            "\u20a1": "CRC",
            "\u20b2": "PYG",
            "\u20b5": "GHS",
            "\u20ae": "MNT",
            "\u20ad": "LAK",
            "\u17db": "KHR",
            "\u058f": "AMD",
            "\ufdfc": "IRR SAR OMR QAR YER",
            "US$": "USD",
            "C$": "CAD NIO",
            "CA$": "CAD",
            "CAD$": "CAD",
            "CDN$": "CAD",
            "A$": "AUD",
            "AU$": "AUD",
            "AUD$": "AUD",
            "NZ$": "NZD",
            "HK$": "HKD",
            "S$": "SGD",
            "SG$": "SGD",
            "NT$": "TWD",
            "R$": "BRL",
            "MX$": "MXN",
            "USD$": "USD",
            "CN\xa5": "CNY",
            "JP\xa5": "JPY",
            "S/": "PEN",
            "S/.": "PEN",
            "E\xa3": "EGP",
            "\u062f.\u0625": "AED",
            "\u0631.\u0633": "SAR",
            "\u062f.\u0643": "KWD",
            "\u062c.\u0645": "EGP",
        }.items()
    }
)
_NAMES: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {
        name: tuple(codes.split())
        for name, codes in {
            "euro": "EUR",
            "euros": "EUR",
            "z\u0142": "PLN",
            "zl": "PLN",
            "k\u010d": "CZK",
            "ft": "HUF",
            "kr": "SEK NOK DKK ISK",
            "lei": "RON MDL",
            "leu": "RON MDL",
            "\u043b\u0432": "BGN",
            "\u0433\u0440\u043d": "UAH",
            "\u0440\u0443\u0431": "RUB BYN",
            "\u0440\u0443\u0431\u043b\u0435\u0439": "RUB BYN",
            "\u0440": "RUB BYN",
            "rs": "INR PKR LKR NPR MUR SCR",
            "rp": "IDR",
            "rm": "MYR",
            "tl": "TRY",
            "sfr": "CHF",
            "fr": "CHF XOF XAF XPF DJF GNF KMF RWF BIF",
            "r": "ZAR",
            "\u0111": "VND",
            "kn": "HRK",
        }.items()
    }
)
_HINT_ONLY = frozenset({"r", "fr", "kn", "tl"})
"""Names that are too short to give a currency without a hint."""
SIGN = "|".join(re.escape(sign) for sign in sorted(_SIGNS, key=len, reverse=True))
"""The alternatives of a regular expression for all signs that are no words. The longest is first."""

_COUNTRIES = MappingProxyType(
    {
        country: code
        for code, countries in {
            "EUR": "AT BE BG CY DE EE ES FI FR GR HR IE IT LT LU LV MT NL PT SI SK AD MC ME SM VA XK",
            "GBP": "GB UK IM JE GG",
            "USD": "US PR EC SV",
            "CHF": "CH LI",
            "DKK": "DK FO GL",
            "NOK": "NO",
            "AUD": "AU",
            "NZD": "NZ",
        }.items()
        for country in countries.split()
    }
    | dict(
        pair.split(":")
        for pair in """AE:AED AR:ARS BR:BRL BY:BYN CA:CAD CL:CLP CN:CNY CO:COP CZ:CZK EG:EGP GE:GEL HK:HKD HU:HUF ID:IDR
        IL:ILS IN:INR IS:ISK JP:JPY KE:KES KR:KRW KW:KWD KZ:KZT LK:LKR MA:MAD MD:MDL MX:MXN MY:MYR NG:NGN NP:NPR PE:PEN
        PH:PHP PK:PKR PL:PLN RO:RON RS:RSD RU:RUB SA:SAR SE:SEK SG:SGD TH:THB TN:TND TR:TRY TW:TWD UA:UAH UY:UYU VN:VND
        ZA:ZAR""".split()
    )
)

NO_DECIMALS = frozenset("BIF CLP DJF GNF ISK JPY KMF KRW PYG RWF UGX VND VUV XAF XOF XPF".split())
THREE_DECIMALS_AFTER_POINT = frozenset("BHD IQD JOD KWD OMR".split())
THREE_DECIMALS_AFTER_COMMA = frozenset("TND LYD".split())
COMMA_GROUPS = frozenset(
    """USD GBP CNY INR AUD NZD HKD SGD ILS THB PHP MYR MXN TWD PKR LKR BDT NPR NGN KES GHS AED SAR EGP QAR JMD TTD
    BBD BSD DOP GTQ HNL NIO PAB KHR MNT MMK""".split()
)
"""Currencies whose countries write `1,234.50`."""
POINT_GROUPS = frozenset(
    "PLN CZK HUF RON BGN DKK NOK SEK TRY BRL ARS COP UYU IDR RSD MKD BAM HRK RUB UAH BYN KZT GEL AZN MDL".split()
)
"""Currencies whose countries write `1.234,50` or `1 234,50`."""


def candidate_currencies(sign: str) -> tuple[str, ...]:
    """Return the currencies that a code, sign or name in a text can mean, in no order of preference."""
    if sign in _SIGNS:
        return _SIGNS[sign]
    if sign in _CODES and sign not in _WORDS_LIKE_CODES:
        return (sign,)
    if sign in _ALIASES:
        return (_ALIASES[sign],)
    return _NAMES.get(sign.rstrip(".").casefold(), ())


def needs_hint(sign: str) -> bool:
    """Whether a name such as `R` or `Fr.` gives a currency only with a hint."""
    return sign.rstrip(".").casefold() in _HINT_ONLY


@lru_cache(maxsize=1024)
def stated_currencies(text: str) -> tuple[str, ...]:
    """Return the currencies that a currency field can mean: `GBP`, `gbp`, `US$`, `Euro`.

    Any three letters are a code, such as that of a former currency.
    """
    text = text.strip()
    code = text.upper()
    if code in _CODES:
        return (code,)
    candidates = candidate_currencies(text) or candidate_currencies(code)
    is_code = len(code) == 3 and code.isascii() and code.isalpha()
    return candidates or ((code,) if is_code else ())


def parse_currency(value: object, *, hint: str | None = None) -> str | None:
    """Return the ISO code of a code, a sign or a name. An ambiguous sign such as `$` gives only a fitting hint."""
    if not isinstance(value, str) or len(value) > 50:
        return None
    candidates = stated_currencies(value)
    if len(candidates) == 1 and not needs_hint(value.strip()):
        return candidates[0]
    return hint if hint in candidates else None


def currency_of_country(country: object) -> str | None:
    """Return the ISO code of a country's currency by its two letters."""
    return _COUNTRIES.get(country.strip().upper()) if isinstance(country, str) else None
