"""Parsing and rejection of callback URLs."""

import pytest
from bookwheel_runtime.webhook_urls import WebhookUrl, parse_webhook_url


@pytest.mark.parametrize(
    ("url", "webhook_url"),
    [
        ("https://shop.example/hook", WebhookUrl("https", "shop.example", 443, "/hook")),
        ("https://shop.example", WebhookUrl("https", "shop.example", 443, "/")),
        ("https://Shop.Example:8443/a/b?c=d&e", WebhookUrl("https", "shop.example", 8443, "/a/b?c=d&e")),
        ("https://8.8.8.8/x", WebhookUrl("https", "8.8.8.8", 443, "/x")),
        ("https://[2606:4700:4700::1111]/x", WebhookUrl("https", "2606:4700:4700::1111", 443, "/x")),
        ("https://xn--bcher-kva.example/%20", WebhookUrl("https", "xn--bcher-kva.example", 443, "/%20")),
    ],
)
def test_a_public_url_is_parsed(url: str, webhook_url: WebhookUrl) -> None:
    assert parse_webhook_url(url) == webhook_url


@pytest.mark.parametrize(
    "url",
    [
        *("shop.example", "//shop.example/", "https://", "https:///x", "ftp://shop.example/", "file:///etc/passwd"),
        *("http://shop.example/", "gopher://shop.example/", "javascript:alert(1)", "https://user@shop.example/"),
        *("https://user:secret@shop.example/", "https://8.8.8.8@127.0.0.1/", "https://127.0.0.1@8.8.8.8/"),
        *("https://shop.example#@127.0.0.1/", "https://shop.example/#x", "https://bücher.example/"),
        *("https://shop.example:0/", "https://shop.example:22/", "https://shop.example:25/"),
        *("https://shop.example:99999/", "https://shop.example:x/", "https://-x.example/", "https://a..b/"),
        *("https://./", "https://127.0.0.1/", "https://127.1/", "https://2130706433/", "https://0x7f000001/"),
        *("https://0177.0.0.1/", "https://0/", "https://0.0.0.0/", "https://10.0.0.1/", "https://192.168.0.1:8443/"),
        *("https://169.254.169.254/", "https://localhost/", "https://localhost./", "https://x.localhost/"),
        *("https://metadata.google.internal/", "https://printer.local/", "https://[::1]/", "https://[::]/"),
        *("https://[::ffff:127.0.0.1]/", "https://[fe80::1]/", "https://[::ffff:7f00:1]/", "https://[::127.0.0.1]/"),
        *("https://[fd00:ec2::254]/", "https://[64:ff9b::7f00:1]/", "https://[fe80::1%25eth0]/", "https://[::1/"),
        *("https://127.0.0.1./", "https://100.64.0.1/", "", "https://shop.example\\@127.0.0.1/"),
        *("https://shop.example/ x", "https://shop.example/\r\nX: y", "https://a\tb/"),
        f"https://shop.example/{'x' * 2000}",
    ],
)
def test_any_other_url_is_rejected(url: str) -> None:
    with pytest.raises(ValueError, match=r"^(is|has|holds|must)"):
        parse_webhook_url(url)


def test_private_addresses_can_be_allowed() -> None:
    assert parse_webhook_url("http://127.0.0.1:9000/x", private=True) == WebhookUrl("http", "127.0.0.1", 9000, "/x")
    assert parse_webhook_url("http://localhost:9000", private=True).host == "localhost"
    with pytest.raises(ValueError, match="user name"):
        parse_webhook_url("http://a@127.0.0.1/", private=True)
