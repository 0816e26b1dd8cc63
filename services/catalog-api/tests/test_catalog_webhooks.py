"""Tests of the webhook routes: ownership, validation, deliveries."""

from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from typing import Any

import httpx
import pytest
from bookwheel_catalog.webhooks.models import CreatedWebhook, DeliveryList, WebhookList
from bookwheel_testing.catalog_stores import CatalogStores
from bookwheel_testing.feed_writer import FeedWriter
from bookwheel_testing.internal_tokens import internal_token
from sqlalchemy import text

URL = "https://receiver.example/hook"
MakeClient = Callable[..., AbstractAsyncContextManager[httpx.AsyncClient]]


def authorize(subject: str = "user:1", scope: str = "catalog:read") -> dict[str, str]:
    return {"Authorization": f"Bearer {internal_token(scope, subject=subject)}"}


async def create(client: httpx.AsyncClient, headers: dict[str, str], **body: Any) -> dict[str, Any]:
    response = await client.post("/webhooks", json={"url": URL, **body}, headers=headers)
    assert response.status_code == 201, response.text
    webhook: dict[str, Any] = CreatedWebhook.model_validate_json(response.content).model_dump(mode="json")
    assert response.headers["location"] == f"/api/v1/webhooks/{webhook['id']}"
    assert response.headers["cache-control"] == "no-store"
    return webhook


async def test_webhook_is_created_read_and_deleted_and_its_secret_is_shown_once(
    stores: CatalogStores, make_client: MakeClient
) -> None:
    head = FeedWriter(stores.engine).add("1", "2")
    me = authorize()
    async with make_client(stores) as client:
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


async def test_webhook_is_accessible_only_to_its_owner_and_admins(
    stores: CatalogStores, make_client: MakeClient
) -> None:
    me, other = authorize(), authorize("user:2")
    admin = authorize("user:3", "admin")
    async with make_client(stores) as client:
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
            assert (await client.request(method, where, headers={"Authorization": ""})).status_code == 401, where
        assert (await client.get("/webhooks", headers=other)).json() == {"items": []}
        assert len((await client.get("/webhooks", headers=admin)).json()["items"]) == 1
        assert (await client.get(path, headers=admin)).json()["owner"] == "user:1"
        nobody = authorize("user:4", "ml:predict")
        assert (await client.get("/webhooks", headers=nobody)).status_code == 403
        assert (await client.delete(path, headers=admin)).status_code == 204


async def test_user_can_have_ten_webhooks(stores: CatalogStores, make_client: MakeClient) -> None:
    async with make_client(stores) as client:
        webhooks = [await create(client, authorize()) for _ in range(10)]
        response = await client.post("/webhooks", json={"url": URL}, headers=authorize())
        assert (response.status_code, response.json()["code"]) == (409, "conflict")
        await create(client, authorize("user:2"))
        await client.delete(f"/webhooks/{webhooks[0]['id']}", headers=authorize())
        await create(client, authorize())


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
    body: dict[str, Any], field: str, stores: CatalogStores, make_client: MakeClient
) -> None:
    async with make_client(stores) as client:
        response = await client.post("/webhooks", json=body, headers=authorize())
        assert response.status_code == 400, response.text
        assert response.json()["errors"][0]["field"] == field
        assert (await client.get("/webhooks", headers=authorize())).json() == {"items": []}


async def test_webhook_position_after_the_end_of_the_feed_is_rejected(
    stores: CatalogStores, make_client: MakeClient
) -> None:
    async with make_client(stores) as client:
        response = await client.post("/webhooks", json={"url": URL, "after": 1}, headers=authorize())
        assert (response.status_code, response.json()["code"]) == (400, "invalid_cursor")


async def test_private_addresses_can_be_allowed(stores: CatalogStores, make_client: MakeClient) -> None:
    async with make_client(stores, webhook_private_addresses="allow") as client:
        await create(client, authorize(), url="http://127.0.0.1:9000/hook")


async def test_deliveries_are_listed_newest_first_in_pages(stores: CatalogStores, make_client: MakeClient) -> None:
    me = authorize()
    async with make_client(stores) as client:
        webhook, other = await create(client, me), await create(client, me)
        for _ in range(3):  # a pending ping is reused, so complete each ping
            response = await client.post(f"/webhooks/{webhook['id']}/ping", headers=me)
            assert (response.status_code, response.json()["type"]) == (202, "ping")
            with stores.engine.begin() as connection:
                connection.execute(text("UPDATE webhook_delivery SET state = 'delivered', ended_at = created_at"))
        path = f"/webhooks/{webhook['id']}/deliveries"
        first = DeliveryList.model_validate_json((await client.get(f"{path}?limit=2", headers=me)).content)
        second = (await client.get(f"{path}?limit=2&cursor={first.next}", headers=me)).json()
        ids = [delivery.id for delivery in first.items] + [delivery["id"] for delivery in second["items"]]
        assert (len(set(ids)), second["next"]) == (3, None)
        with stores.engine.connect() as connection:
            numbers = {
                row[0]: row[1] for row in connection.execute(text("SELECT delivery_id, number FROM webhook_delivery"))
            }
        assert [numbers[delivery_id] for delivery_id in ids] == [3, 2, 1]
        response = await client.get(f"/webhooks/{other['id']}/deliveries?cursor={first.next}", headers=me)
        assert (response.status_code, response.json()["code"]) == (400, "invalid_cursor")
        assert (await client.get(f"{path}?cursor=x", headers=me)).status_code == 400
        assert (await client.get(f"{path}?page=2", headers=me)).status_code == 400


async def test_disabled_webhook_is_enabled(stores: CatalogStores, make_client: MakeClient) -> None:
    me = authorize()
    async with make_client(stores) as client:
        webhook = await create(client, me)
        path = f"/webhooks/{webhook['id']}/enable"
        with stores.engine.begin() as connection:
            connection.execute(text("UPDATE webhook SET state = 'disabled', reason = 'given up'"))
        head = FeedWriter(stores.engine).add("1", "2")
        enabled = await client.post(path, headers=me)
        assert (enabled.status_code, enabled.json()["state"], enabled.json()["reason"]) == (200, "active", None)
        assert enabled.json()["position"] == 0
        skipped = await client.post(path, headers=me, json={"missed": "skip_all"})
        assert skipped.json()["position"] == head
        wrong = await client.post(path, headers=me, json={"missed": "all"})
        assert (wrong.status_code, wrong.json()["errors"][0]["field"]) == (400, "missed")
