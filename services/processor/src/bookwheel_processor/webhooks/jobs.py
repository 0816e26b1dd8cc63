"""What the webhooks' task does: safe to call at any time and as often as one likes."""

import asyncio

from bookwheel_stores.records import WebhookQueue

from bookwheel_processor.webhooks.dispatch import RECEIVERS, Dispatch
from bookwheel_processor.webhooks.sending import Patience, Sender
from bookwheel_processor.worker.jobs import Dependencies
from bookwheel_processor.worker.process_lock import slot


def webhooks_round(parts: Dependencies) -> int:
    """Delivers what is due, for some seconds at most; returns how many deliveries arrived.

    One worker of a machine does it at a time. Machines share the work by claims in the records, which lapse.
    """
    with slot(parts.slots, "webhooks") as is_mine:
        return asyncio.run(_dispatch(parts)) if is_mine else 0


async def _dispatch(parts: Dependencies) -> int:
    settings = parts.settings
    patience = Patience(settings.webhook_timeout, settings.webhook_first_pause, settings.webhook_max_age)
    private = settings.webhook_private_addresses == "allow"
    sender = Sender(patience, private=private, connections=RECEIVERS)
    return await Dispatch(WebhookQueue(parts.engine), sender, attempt_seconds=settings.webhook_timeout).run()
