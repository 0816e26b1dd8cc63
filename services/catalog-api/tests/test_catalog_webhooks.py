"""Tests of the webhook routes: ownership, validation, deliveries."""

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


async def create(client: httpx.AsyncClient, headers: dict[str, str], **body: Any) -> dict[str, Any]:
    response = await client.post("/webhooks", json={"url": URL, **body}, headers=headers)
    assert response.status_code == 201, response.text
    webhook: dict[str, Any] = CreatedWebhook.model_validate_json(response.content).model_dump(mode="json")
    assert response.headers["location"] == f"/api/v1/webhooks/{webhook['id']}"
    assert response.headers["cache-control"] == "no-store"
    return webhook


async def test_webhook_is_created_read_and_deleted_and_its_secret_is_shown_once(
    suite: Suite, api: Api, make_token: MakeToken
) -> None:
    head = FeedWriter(suite.engine).add("1", "2")
    me = by(make_token)
    async with api() as client:
        webhook = await create(client, me, filters=["kind:removed"])
        assert webhook["secret"].startswith("whsec_")
        assert len(webhook["secret"]) == 50
        assert (webhook["state"], webhook["position"], webhook["owner"]) == ("active", head, "user:1")
        assert webhook["events"] == ["catalog.changed", "run.finished"]
        response = await client.get(f"/webhooks/{webhook['id']}", headers=me)
        assert response.json() == {name: value for name, value in webhook.items() if name != "secret"}
        listed = await client.get("/webhooks", headers=me)
        assert [hook.id for hook in WebhookList.model_validate_json(listed.content).items] == [webhook["id"]]
        assert "secret" not in listed.text
        assert (await client.delete(f"/webhooks/{webhook['id']}", headers=me)).status_code == 204
        assert (await client.get(f"/webhooks/{webhook['id']}", headers=me)).status_code == 404
        assert (await create(client, me, after=1, events=["run.finished"]))["position"] == 1


async def test_webhook_is_accessible_only_to_its_owner_and_admins(api: Api, make_token: MakeToken) -> None:
    me, other = by(make_token), by(make_token, "user:2")
    admin = by(make_token, "user:3", "admin")
    async with api() as client:
        webhook = await create(client, me)
        path = f"/webhooks/{webhook['id']}"
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


async def test_user_can_have_ten_webhooks(api: Api, make_token: MakeToken) -> None:
    async with api() as client:
        webhooks = [await create(client, by(make_token)) for _ in range(10)]
        response = await client.post("/webhooks", json={"url": URL}, headers=by(make_token))
        assert (response.status_code, response.json()["code"]) == (409, "conflict")
        await create(client, by(make_token, "user:2"))
        await client.delete(f"/webhooks/{webhooks[0]['id']}", headers=by(make_token))
        await create(client, by(make_token))


@pytest.mark.parametrize(
    ("body", "field"),
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
async def test_invalid_webhook_is_rejected_and_the_field_named(
    body: dict[str, Any], field: str, api: Api, make_token: MakeToken
) -> None:
    async with api() as client:
        response = await client.post("/webhooks", json=body, headers=by(make_token))
        assert response.status_code == 400, response.text
        assert response.json()["errors"][0]["field"] == field
        assert (await client.get("/webhooks", headers=by(make_token))).json() == {"items": []}


async def test_webhook_position_after_the_end_of_the_feed_is_rejected(api: Api, make_token: MakeToken) -> None:
    async with api() as client:
        response = await client.post("/webhooks", json={"url": URL, "after": 1}, headers=by(make_token))
        assert (response.status_code, response.json()["code"]) == (400, "invalid_cursor")


async def test_private_addresses_can_be_allowed(api: Api, make_token: MakeToken) -> None:
    async with api(webhook_private_addresses="allow") as client:
        await create(client, by(make_token), url="http://127.0.0.1:9000/hook")


async def test_deliveries_are_listed_newest_first_in_pages(suite: Suite, api: Api, make_token: MakeToken) -> None:
    me = by(make_token)
    async with api() as client:
        webhook, other = await create(client, me), await create(client, me)
        for _ in range(3):  # a pending ping is reused, so complete each ping
            response = await client.post(f"/webhooks/{webhook['id']}/ping", headers=me)
            assert (response.status_code, response.json()["type"]) == (202, "ping")
            with suite.engine.begin() as connection:
                connection.execute(text("UPDATE webhook_delivery SET state = 'delivered', ended_at = created_at"))
        path = f"/webhooks/{webhook['id']}/deliveries"
        first = DeliveryList.model_validate_json((await client.get(f"{path}?limit=2", headers=me)).content)
        second = (await client.get(f"{path}?limit=2&cursor={first.next}", headers=me)).json()
        ids = [delivery.id for delivery in first.items] + [delivery["id"] for delivery in second["items"]]
        assert (len(set(ids)), second["next"]) == (3, None)
        with suite.engine.connect() as connection:
            numbers = {
                row[0]: row[1] for row in connection.execute(text("SELECT delivery_id, number FROM webhook_delivery"))
            }
        assert [numbers[delivery_id] for delivery_id in ids] == [3, 2, 1]
        response = await client.get(f"/webhooks/{other['id']}/deliveries?cursor={first.next}", headers=me)
        assert (response.status_code, response.json()["code"]) == (400, "invalid_cursor")
        assert (await client.get(f"{path}?cursor=x", headers=me)).status_code == 400
        assert (await client.get(f"{path}?page=2", headers=me)).status_code == 400


async def test_disabled_webhook_is_enabled(suite: Suite, api: Api, make_token: MakeToken) -> None:
    me = by(make_token)
    async with api() as client:
        webhook = await create(client, me)
        path = f"/webhooks/{webhook['id']}/enable"
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
