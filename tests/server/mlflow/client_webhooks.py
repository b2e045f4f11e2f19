"""Webhooks by MLflow's own client. Run as: client_webhooks.py ADDRESS URL."""

from __future__ import annotations

import sys

import mlflow
import pytest
from mlflow import MlflowClient
from mlflow.entities.webhook import WebhookStatus
from mlflow.exceptions import MlflowException


def main(address: str, url: str) -> None:
    mlflow.set_tracking_uri(address)
    client = MlflowClient()
    events = ["registered_model.created", "model_version_alias.created"]
    hook = client.create_webhook("hook", url, events, description="d", secret="s3cret")
    assert client.get_webhook(hook.webhook_id).url == url
    assert [str(event) for event in hook.events] == events
    told = client.test_webhook(hook.webhook_id, "model_version_tag.deleted")
    assert (told.success, told.response_status, told.response_body) == (True, 200, "ok")
    client.create_registered_model("m", tags={"a": "b"})
    client.create_model_version("m", "s3://x/y")
    client.set_registered_model_alias("m", "champion", "1")
    other = client.create_webhook("other", url, ["model_version.created"])
    changed = client.update_webhook(other.webhook_id, status=WebhookStatus.DISABLED, name="third")
    assert (changed.name, changed.status) == ("third", WebhookStatus.DISABLED)
    first = client.list_webhooks(max_results=1)
    rest = client.list_webhooks(max_results=1, page_token=first.token)
    assert {h.name for h in [*first, *rest]} == {"hook", "third"}
    client.delete_webhook(other.webhook_id)
    with pytest.raises(MlflowException, match="not found") as caught:
        client.get_webhook(other.webhook_id)
    assert caught.value.error_code == "RESOURCE_DOES_NOT_EXIST"
    with pytest.raises(MlflowException, match="sends no webhooks to") as caught:
        client.create_webhook("inside", "https://169.254.169.254/", ["model_version.created"])
    assert caught.value.error_code == "PERMISSION_DENIED"
    print("all done")


if __name__ == "__main__":
    main(*sys.argv[1:])
