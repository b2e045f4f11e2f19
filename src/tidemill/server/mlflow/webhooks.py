"""MLflow's routes for webhooks."""

from __future__ import annotations

import msgspec

from tidemill.server.mlflow.errors import BadRequest, NotOffered
from tidemill.server.mlflow.records import Answer, millis
from tidemill.server.mlflow.requests import required, wrong
from tidemill.webhooks.records import HookStatus, Webhook
from tidemill.webhooks.service import Webhooks

_MOST = 1000
_ELSEWHERE = ("prompt", "budget_policy")
"""What MLflow tells of generative models, which are not kept here."""


class EventBody(msgspec.Struct, frozen=True):
    """What is told: something of some kind was done."""

    entity: str = ""
    action: str = ""


class CreateWebhook(msgspec.Struct, frozen=True):
    """A new webhook."""

    name: str = ""
    url: str = ""
    events: list[EventBody] = []
    description: str = ""
    secret: str = ""
    status: str = ""


class OfWebhook(msgspec.Struct, frozen=True):
    """Names a webhook, and what is to become of it."""

    webhook_id: str = ""
    name: str = ""
    url: str = ""
    events: list[EventBody] = []
    description: str | None = None
    secret: str | None = None
    status: str = ""


class TestWebhook(msgspec.Struct, frozen=True):
    """Names a webhook, and the event of which it is sent an example."""

    webhook_id: str = ""
    event: EventBody | None = None


class ListWebhooks(msgspec.Struct, frozen=True):
    """A page of webhooks."""

    max_results: int = 0
    page_token: str = ""


class Hooks:
    """Translates requests about webhooks.

    Args:
        webhooks: The room.
    """

    def __init__(self, webhooks: Webhooks) -> None:
        self._webhooks = webhooks

    def create(self, request: CreateWebhook) -> Answer:
        """Make a webhook."""
        made = self._webhooks.create(
            required(request.name, "name"),
            required(request.url, "url"),
            _events(required(request.events or None, "events")),
            description=request.description,
            secret=request.secret,
            status=_status(request.status) or "ACTIVE",
        )
        return {"webhook": hook_answer(made)}

    def list_all(self, request: ListWebhooks) -> Answer:
        """Return a page of webhooks, newest first."""
        most = request.max_results or 100
        if not 0 < most <= _MOST:
            raise BadRequest(f"max_results must be between 1 and {_MOST}.")
        page = self._webhooks.hooks(limit=most, token=request.page_token)
        answer: Answer = {"webhooks": [hook_answer(hook) for hook in page.items]}
        return answer | ({} if page.token is None else {"next_page_token": page.token})

    def get(self, request: OfWebhook) -> Answer:
        """Return a webhook; its secret is told to nobody."""
        return {"webhook": hook_answer(self._webhooks.get(request.webhook_id))}

    def update(self, request: OfWebhook) -> Answer:
        """Change what is given of a webhook."""
        changed = self._webhooks.update(
            request.webhook_id,
            name=request.name or None,
            url=request.url or None,
            events=_events(request.events) if request.events else None,
            description=request.description,
            secret=request.secret,
            status=_status(request.status),
        )
        return {"webhook": hook_answer(changed)}

    def delete(self, request: OfWebhook) -> Answer:
        """Delete a webhook."""
        self._webhooks.delete(request.webhook_id)
        return {}

    def test(self, request: TestWebhook) -> Answer:
        """Send a webhook an example, and tell what came of it."""
        event = _events([request.event])[0] if request.event else ""
        outcome = self._webhooks.test(request.webhook_id, event)
        result: Answer = {"success": outcome.done}
        if outcome.answered is not None:
            result |= {"response_status": outcome.answered, "response_body": outcome.body}
        if outcome.error:
            result["error_message"] = f"Failed to test webhook: {outcome.error}"
        return {"result": result}


def hook_answer(hook: Webhook) -> Answer:
    """Return a webhook as MLflow has it."""
    answer: Answer = {
        "webhook_id": hook.id,
        "name": hook.name,
        "url": hook.url,
        "events": [_event_answer(event) for event in hook.events],
        "status": hook.status,
        "creation_timestamp": millis(hook.created),
        "last_updated_timestamp": millis(hook.updated),
    }
    return answer | ({"description": hook.description} if hook.description else {})


def _event_answer(event: str) -> Answer:
    entity, _, action = event.partition(".")
    return {"entity": entity.upper(), "action": action.upper()}


def _events(bodies: list[EventBody]) -> list[str]:
    for body in bodies:
        if body.entity.lower().startswith(_ELSEWHERE):
            raise NotOffered(f"Tidemill has no events of MLflow's {body.entity[:100]}.")
    return [f"{body.entity}.{body.action}".lower() for body in bodies]


def _status(status: str) -> HookStatus | None:
    if status not in {"", "ACTIVE", "DISABLED"}:
        raise wrong(status, "status")
    return status or None  # type: ignore[return-value]
