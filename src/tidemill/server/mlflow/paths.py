"""The paths of MLflow's routes, and what they say of themselves where a value is in one."""

from __future__ import annotations

CORE = "/api/2.0/mlflow/"
FILES = "/api/2.0/mlflow-artifacts/artifacts/"
MODELS = f"{CORE}logged-models/"
WEBHOOKS = f"{CORE}webhooks/"
UPLOAD = f"{CORE}upload-artifact"
PREFIXES = (
    "/api/2.0/",
    "/api/2.0mlflow/",
    "/api/2.11/",
    "/api/3.0/",
    "/ajax-api/",
    "/get-artifact",
    "/model-versions/get-artifact",
    "/version",
    "/graphql",
    "/v1/traces",
)
_GENERATIVE = (
    *("assessments", "datasets", "gateway", "issues", "label-schemas", "mcp-servers", "prompt"),
    *("review-queues", "scorers", "skills", "trace", "unified-traces", "users", "workspaces"),
    "artifacts/presigned",
)
"""How MLflow's routes begin for what is not kept here: generative models, and several tenants."""
_OUTSIDE = (
    *("/api/3.0/mlflow/", "/v1/traces", "/graphql"),
    *(f"{CORE}{start}" for start in _GENERATIVE),
)
_OTHER_VERSIONS = ("/api/2.0mlflow/", "/api/2.11/mlflow/")
"""Where MLflow has some of the same routes as well, one of them by a slip of the pen."""
_PARTS = {
    "/api/2.0/mlflow-artifacts/mpu/": "upload",
    "/api/2.0/mlflow-artifacts/presigned/": "download",
}


def canonical(path: str) -> str:
    """Return a path as it reads in the tables: pages and slips use others for the same.

    Example:
        >>> canonical("/ajax-api/2.0/mlflow/runs/get")
        '/api/2.0/mlflow/runs/get'
    """
    if path.startswith("/ajax-api/"):
        path = f"/api{path.removeprefix('/ajax-api')}"
    for other in _OTHER_VERSIONS:
        if path.startswith(other):
            return CORE + path.removeprefix(other)
    return path


def pattern(path: str) -> tuple[str, dict[str, str]]:
    """Return a path with names in place of the values that it carries, and the values.

    Example:
        >>> pattern("/api/2.0/mlflow/logged-models/m-1/tags/a%20b")[1]
        {'model_id': 'm-1', 'tag_key': 'a%20b'}
        >>> pattern("/api/2.0/mlflow/webhooks/0192/test")
        ('/api/2.0/mlflow/webhooks/{webhook_id}/test', {'webhook_id': '0192'})
        >>> pattern("/api/2.0/mlflow/runs/get")
        ('/api/2.0/mlflow/runs/get', {})
    """
    if path.startswith(WEBHOOKS):
        hook, *rest = path.removeprefix(WEBHOOKS).split("/", 1)
        return "/".join([f"{WEBHOOKS}{{webhook_id}}", *rest]), {"webhook_id": hook}
    if not path.startswith(MODELS):
        return path, {}
    model_id, *rest = path.removeprefix(MODELS).split("/", 2)
    if model_id == "search" and not rest:
        return path, {}
    named = {"model_id": model_id}
    if rest[:1] == ["tags"] and len(rest) == 2:
        return f"{MODELS}{{model_id}}/tags/{{tag_key}}", named | {"tag_key": rest[1]}
    return "/".join([f"{MODELS}{{model_id}}", *rest]), named


def not_offered(path: str) -> str | None:
    """Return what is said of a route that MLflow has and this door has not, or nothing."""
    for start, way in _PARTS.items():
        if path.startswith(start):
            return f"Multipart {way} is not supported for the current artifact repository"
    return f"Tidemill does not offer {path} of MLflow." if path.startswith(_OUTSIDE) else None
