"""Webhooks over HTTP: whose they are, what may be asked for, what is shown of them."""

from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Any, Protocol

import httpx
import pytest
from bookwheel_catalog.app import create_app
from bookwheel_catalog.settings import CatalogSettings
from bookwheel_catalog.webhooks.models import CreatedWebhook, DeliveryList, WebhookList
from bookwheel_testing.feed_writer import FeedWriter
from sqlalchemy import Engine, text

MakeToken = Callable[..., str]
URL = "https://receiver.example/hook"
Api = Callable[..., AbstractAsyncContextManager[httpx.AsyncClient]]


class Suite(Protocol):
    """The stores behind the API; see conftest.py."""

    environment: dict[str, str]
    engine: Engine


@pytest.fixture
def api(suite: Suite, make_token: MakeToken) -> Api:
    @asynccontextmanager
    async def api(**settings: str) -> AsyncIterator[httpx.AsyncClient]:
        names = {name.removeprefix("BOOKWHEEL_").lower(): value for name, value in suite.environment.items()}
        app = create_app(CatalogSettings(**{**names, **settings}))  # type: ignore[arg-type]  # strings
        transport = httpx.ASGITransport(app)
        async with (
            app.router.lifespan_context(app),
            httpx.AsyncClient(transport=transport, base_url="http://catalog/api/v1") as client,
        ):
            yield client

    return api


def by(make_token: MakeToken, subject: str = "user:1", scope: str = "catalog:read") -> dict[str, str]:
    return {"Authorization": f"Bearer {make_token(scope, subject=subject)}"}


async def create(client: httpx.AsyncClient, headers: dict[str, str], **order: Any) -> dict[str, Any]:
    answer = await client.post("/webhooks", json={"url": URL, **order}, headers=headers)
    assert answer.status_code == 201, answer.text
    made: dict[str, Any] = CreatedWebhook.model_validate_json(answer.content).model_dump(mode="json")
    assert answer.headers["location"] == f"/api/v1/webhooks/{made['id']}"
    assert answer.headers["cache-control"] == "no-store"
    return made


async def test_a_webhook_is_made_shown_and_deleted_and_its_secret_shown_once(
    suite: Suite, api: Api, make_token: MakeToken
) -> None:
    head = FeedWriter(suite.engine).add("1", "2")
    me = by(make_token)
    async with api() as client:
        made = await create(client, me, filters=["kind:removed"])
        assert made["secret"].startswith("whsec_")
        assert len(made["secret"]) == 50
        assert (made["state"], made["position"], made["owner"]) == ("active", head, "user:1")
        assert made["events"] == ["catalog.changed", "run.finished"]
        answer = await client.get(f"/webhooks/{made['id']}", headers=me)
        assert answer.json() == {name: value for name, value in made.items() if name != "secret"}
        listed = await client.get("/webhooks", headers=me)
        assert [hook.id for hook in WebhookList.model_validate_json(listed.content).items] == [made["id"]]
        assert "secret" not in listed.text
        assert (await client.delete(f"/webhooks/{made['id']}", headers=me)).status_code == 204
        assert (await client.get(f"/webhooks/{made['id']}", headers=me)).status_code == 404
        assert (await create(client, me, after=1, events=["run.finished"]))["position"] == 1


async def test_a_webhook_is_its_owner_s_and_an_admin_s(api: Api, make_token: MakeToken) -> None:
    me, other = by(make_token), by(make_token, "user:2")
    admin = by(make_token, "user:3", "admin")
    async with api() as client:
        made = await create(client, me)
        path = f"/webhooks/{made['id']}"
        for method, where in (
            ("GET", path),
            ("DELETE", path),
            ("GET", f"{path}/deliveries"),
            ("POST", f"{path}/ping"),
            ("POST", f"{path}/enable"),
        ):
            assert (await client.request(method, where, headers=other)).status_code == 404, where
            assert (await client.request(method, where)).status_code == 401, where
        assert (await client.get("/webhooks", headers=other)).json() == {"items": []}
        assert len((await client.get("/webhooks", headers=admin)).json()["items"]) == 1
        assert (await client.get(path, headers=admin)).json()["owner"] == "user:1"
        nobody = by(make_token, "user:4", "ml:predict")
        assert (await client.get("/webhooks", headers=nobody)).status_code == 403
        assert (await client.delete(path, headers=admin)).status_code == 204


async def test_a_user_has_ten_at_most(api: Api, make_token: MakeToken) -> None:
    async with api() as client:
        made = [await create(client, by(make_token)) for _ in range(10)]
        answer = await client.post("/webhooks", json={"url": URL}, headers=by(make_token))
        assert (answer.status_code, answer.json()["code"]) == (409, "conflict")
        await create(client, by(make_token, "user:2"))
        await client.delete(f"/webhooks/{made[0]['id']}", headers=by(make_token))
        await create(client, by(make_token))


@pytest.mark.parametrize(
    ("order", "field"),
    [
        ({}, "url"),
        ({"url": "http://receiver.example/"}, "url"),
        ({"url": "https://127.0.0.1/"}, "url"),
        ({"url": "https://user:x@receiver.example/"}, "url"),
        ({"url": "https://receiver.example:22/"}, "url"),
        ({"url": "https://169.254.169.254/latest/meta-data"}, "url"),
        ({"url": "x" * 2001}, "url"),
        ({"url": 5}, "url"),
        ({"url": URL, "events": []}, "events"),
        ({"url": URL, "events": ["ping"]}, "events[0]"),
        ({"url": URL, "filters": ["title:x"]}, "filters"),
        ({"url": URL, "filters": ["kind:gone"]}, "filters"),
        ({"url": URL, "filters": ["field:prise"]}, "filters"),
        ({"url": URL, "filters": ["source:x"] * 101}, "filters"),
        ({"url": URL, "after": -1}, "after"),
        ({"url": URL, "secret": "mine"}, "secret"),
    ],
)
async def test_a_wrong_order_is_refused_and_names_its_field(
    order: dict[str, Any], field: str, api: Api, make_token: MakeToken
) -> None:
    async with api() as client:
        answer = await client.post("/webhooks", json=order, headers=by(make_token))
        assert answer.status_code == 400, answer.text
        assert answer.json()["errors"][0]["field"] == field
        assert (await client.get("/webhooks", headers=by(make_token))).json() == {"items": []}


async def test_a_place_ahead_of_the_feed_is_refused(api: Api, make_token: MakeToken) -> None:
    async with api() as client:
        answer = await client.post("/webhooks", json={"url": URL, "after": 1}, headers=by(make_token))
        assert (answer.status_code, answer.json()["code"]) == (400, "invalid_cursor")


async def test_one_machine_may_allow_its_own_addresses(api: Api, make_token: MakeToken) -> None:
    async with api(webhook_private_addresses="allow") as client:
        await create(client, by(make_token), url="http://127.0.0.1:9000/hook")


async def test_deliveries_are_paged_newest_first(suite: Suite, api: Api, make_token: MakeToken) -> None:
    me = by(make_token)
    async with api() as client:
        made, other = await create(client, me), await create(client, me)
        for _ in range(3):  # a ping that waits already is not asked for again, so each is ended
            answer = await client.post(f"/webhooks/{made['id']}/ping", headers=me)
            assert (answer.status_code, answer.json()["type"]) == (202, "ping")
            with suite.engine.begin() as connection:
                connection.execute(text("UPDATE webhook_delivery SET state = 'delivered', ended_at = created_at"))
        path = f"/webhooks/{made['id']}/deliveries"
        first = DeliveryList.model_validate_json((await client.get(f"{path}?limit=2", headers=me)).content)
        second = (await client.get(f"{path}?limit=2&cursor={first.next}", headers=me)).json()
        ids = [delivery.id for delivery in first.items] + [delivery["id"] for delivery in second["items"]]
        assert (len(set(ids)), second["next"]) == (3, None)
        with suite.engine.connect() as connection:
            numbers = {
                row[0]: row[1] for row in connection.execute(text("SELECT delivery_id, number FROM webhook_delivery"))
            }
        assert [numbers[one] for one in ids] == [3, 2, 1]
        foreign = await client.get(f"/webhooks/{other['id']}/deliveries?cursor={first.next}", headers=me)
        assert (foreign.status_code, foreign.json()["code"]) == (400, "invalid_cursor")
        assert (await client.get(f"{path}?cursor=x", headers=me)).status_code == 400
        assert (await client.get(f"{path}?page=2", headers=me)).status_code == 400


async def test_a_webhook_is_enabled_again(suite: Suite, api: Api, make_token: MakeToken) -> None:
    me = by(make_token)
    async with api() as client:
        made = await create(client, me)
        path = f"/webhooks/{made['id']}/enable"
        with suite.engine.begin() as connection:
            connection.execute(text("UPDATE webhook SET state = 'disabled', reason = 'given up'"))
        head = FeedWriter(suite.engine).add("1", "2")
        enabled = await client.post(path, headers=me)
        assert (enabled.status_code, enabled.json()["state"], enabled.json()["reason"]) == (200, "active", None)
        assert enabled.json()["position"] == 0
        skipped = await client.post(path, headers=me, json={"missed": "skip_all"})
        assert skipped.json()["position"] == head
        wrong = await client.post(path, headers=me, json={"missed": "all"})
        assert (wrong.status_code, wrong.json()["errors"][0]["field"]) == (400, "missed")
