"""Faults: their kinds, their determinism, and retries."""

from collections.abc import AsyncIterator

import httpx
import pytest
from bookwheel_demo_shop import faults
from bookwheel_demo_shop.app import create_app
from bookwheel_demo_shop.faults import Fault, FaultPlan, Faults
from hypothesis import given
from hypothesis import strategies as st
from starlette.responses import Response

PATHS = [f"/catalogue/page-{number}.html" for number in range(1, 200)]


@pytest.fixture
async def shop() -> AsyncIterator[httpx.AsyncClient]:
    transport = httpx.ASGITransport(app=create_app(books=130, seed=7, day=3))
    async with httpx.AsyncClient(transport=transport, base_url="http://shop.test") as client:
        yield client


async def set_faults(shop: httpx.AsyncClient, **plan: object) -> None:
    (await shop.put("/_shop/faults", json=plan)).raise_for_status()


async def test_faults_can_be_enabled_and_disabled(shop: httpx.AsyncClient) -> None:
    assert (await shop.get("/_shop/faults")).json()["rate"] == 0
    assert (await shop.get("/")).status_code == 200
    await set_faults(shop, rate=1, kinds=["500"])
    assert (await shop.get("/")).status_code == 500
    await set_faults(shop)
    assert (await shop.get("/")).status_code == 200


async def test_error_faults_respond_with_their_status(shop: httpx.AsyncClient) -> None:
    await set_faults(shop, rate=1, kinds=["500"])
    assert [(await shop.get("/")).status_code for _ in range(10)] == [500] * 10
    await set_faults(shop, rate=1, kinds=["429"], retry_after=7)
    response = await shop.get("/schema/")
    assert response.status_code == 429
    assert response.headers["retry-after"] == "7"


async def test_a_slow_page_is_complete(shop: httpx.AsyncClient) -> None:
    complete_page = (await shop.get("/")).text
    await set_faults(shop, rate=1, kinds=["slow"], slow_seconds=0.2)
    response = await shop.get("/")
    assert response.text == complete_page
    assert response.elapsed.total_seconds() >= 0.2


async def test_a_malformed_page_is_cut_off_and_not_valid_utf8(shop: httpx.AsyncClient) -> None:
    complete_page = (await shop.get("/")).content
    await set_faults(shop, rate=1, kinds=["malformed"])
    response = await shop.get("/")
    assert response.status_code == 200
    assert len(response.content) < len(complete_page) / 2
    with pytest.raises(UnicodeDecodeError):
        response.content.decode()


async def test_the_layout_fault_hides_the_price_in_both_storefronts(shop: httpx.AsyncClient) -> None:
    await set_faults(shop, rate=1, kinds=["layout"])
    page = await shop.get("/")
    assert page.status_code == 200
    assert "price_color" not in page.text
    assert "product_pod" in page.text
    assert '"price"' not in (await shop.get("/schema/books/1")).text


async def test_a_wrong_charset_garbles_the_pound_sign(shop: httpx.AsyncClient) -> None:
    await set_faults(shop, rate=1, kinds=["wrong_charset"])
    response = await shop.get("/")
    assert response.headers["content-type"] == "text/html; charset=iso-8859-1"
    assert "Â£" in response.text


async def test_a_redirect_loop_never_ends(shop: httpx.AsyncClient) -> None:
    await set_faults(shop, rate=1, kinds=["redirect_loop"])
    with pytest.raises(httpx.TooManyRedirects):
        await shop.get("/", follow_redirects=True)


async def test_robots_txt_and_control_routes_have_no_faults(shop: httpx.AsyncClient) -> None:
    await set_faults(shop, rate=1, kinds=["500"])
    for path in ("/robots.txt", "/_shop/day", "/_shop/facts?limit=1", "/_shop/law", "/static/shop.css"):
        assert (await shop.get(path)).status_code == 200


@given(rate=st.floats(0, 0.999), seed=st.integers(), repeats=st.integers(0, 5), path=st.text(max_size=30))
def test_below_rate_one_retries_always_succeed(rate: float, seed: int, repeats: int, path: str) -> None:
    plan = FaultPlan(rate=rate, seed=seed, repeats=repeats)
    outcomes = [plan.fault_at(path, attempt) for attempt in range(3 * (repeats + 1))]
    for start in range(2 * (repeats + 1)):
        assert None in outcomes[start : start + repeats + 1]


@given(st.text(), st.integers(0, 1_000))
def test_at_rate_one_every_attempt_fails_and_at_rate_zero_none(path: str, attempt: int) -> None:
    assert FaultPlan(rate=1).fault_at(path, attempt) is not None
    assert FaultPlan(rate=0).fault_at(path, attempt) is None


def test_the_rate_is_the_share_of_attempts_that_fail() -> None:
    plan = FaultPlan(rate=0.3, kinds=tuple(Fault), seed=3, repeats=100)
    outcomes = [plan.fault_at(path, attempt) for path in PATHS for attempt in range(10)]
    failed = [outcome for outcome in outcomes if outcome]
    assert 0.27 < len(failed) / len(outcomes) < 0.33
    assert set(failed) == set(Fault)


async def test_faults_depend_only_on_the_plan_and_its_seed(shop: httpx.AsyncClient) -> None:
    async def statuses(seed: int) -> list[int]:
        await set_faults(shop, rate=0.5, kinds=["500", "429"], seed=seed)
        return [(await shop.get(path)).status_code for path in PATHS[:7] for _ in range(4)]

    first = await statuses(1)
    assert await statuses(1) == first
    assert await statuses(2) != first
    assert set(first) == {200, 429, 500}


async def test_faults_do_not_depend_on_the_order_of_paths(shop: httpx.AsyncClient) -> None:
    async def statuses(paths: list[str]) -> dict[str, int]:
        await set_faults(shop, rate=0.5, kinds=["500"], seed=1)
        return {path: (await shop.get(path)).status_code for path in paths}

    assert await statuses(PATHS[:7]) == await statuses(PATHS[6::-1])


async def test_the_number_of_tracked_paths_is_limited(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(faults, "MAX_TRACKED_PATHS", 10)
    shop_faults = Faults()
    shop_faults.activate(FaultPlan(rate=0.5, kinds=(Fault.SERVER_ERROR,)))
    for number in range(100):
        await shop_faults.apply(f"/{number}", Response("page"))
    assert len(shop_faults._attempts) == 10


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b"[]",
        b"\xff",
        b'{"rate": 2}',
        b'{"rate": -0.1}',
        b'{"rate": "NaN"}',
        b'{"kinds": []}',
        b'{"kinds": ["flood"]}',
        b'{"rates": 0.5}',
        b'{"slow_seconds": 1e9}',
        b'{"repeats": -1}',
    ],
)
async def test_an_invalid_plan_is_rejected_and_changes_nothing(shop: httpx.AsyncClient, body: bytes) -> None:
    before = (await shop.get("/_shop/faults")).json()
    assert (await shop.put("/_shop/faults", content=body)).status_code == 422
    assert (await shop.get("/_shop/faults")).json() == before


@pytest.mark.parametrize("body", [b"", b"{}", b"3", b'{"day": -1}', b'{"day": "3"}', b'{"day": 1.5}', b'{"day": true}'])
async def test_an_invalid_day_is_rejected_and_changes_nothing(shop: httpx.AsyncClient, body: bytes) -> None:
    assert (await shop.put("/_shop/day", content=body)).status_code == 422
    assert (await shop.get("/_shop/day")).json() == {"day": 3}


async def test_a_large_body_is_rejected(shop: httpx.AsyncClient) -> None:
    assert (await shop.put("/_shop/day", content=b" " * 100_000)).status_code == 413
