"""Merges the services' OpenAPI documents (pure functions)."""

from collections.abc import Mapping
from importlib.metadata import version
from typing import Any

from bookwheel_contracts.problems import PROBLEM_TYPE, Problem

_API_PREFIX = "/api/v1/"
_REFERENCE = "#/components/schemas/"
_FRAMEWORK_SCHEMAS = frozenset({"HTTPValidationError", "ValidationError"})
_PROBLEM = {
    "description": "A problem (RFC 9457); see /docs/problems for its codes.",
    "content": {PROBLEM_TYPE: {"schema": {"$ref": f"{_REFERENCE}Problem"}}},
}


def _rename_references(node: Any, names: Mapping[str, str]) -> Any:
    """Returns a copy whose references to the schemas in `names` use their new names."""
    if isinstance(node, dict):
        return {
            key: _REFERENCE + names.get(value.removeprefix(_REFERENCE), value.removeprefix(_REFERENCE))
            if key == "$ref" and isinstance(value, str) and value.startswith(_REFERENCE)
            else _rename_references(value, names)
            for key, value in node.items()
        }
    if isinstance(node, list):
        return [_rename_references(value, names) for value in node]
    return node


def _with_problems(operation: Any) -> Any:
    """Replaces the framework's 422, which no service returns, with the suite's problems."""
    if not isinstance(operation, dict) or "responses" not in operation:
        return operation
    responses = {status: response for status, response in operation["responses"].items() if status != "422"}
    return {**operation, "responses": {**responses, "default": _PROBLEM}}


def merge_openapi(documents: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    """Returns one document with all public paths. If two services declare a path, the first one wins.

    A schema is prefixed with its service's name if an earlier service has another schema of the same name.
    """
    paths: dict[str, Any] = {}
    schemas: dict[str, Any] = {}
    security: dict[str, Any] = {}
    for service, document in documents.items():
        components = document.get("components", {})
        own = components.get("schemas", {})
        clashing = {name: f"{service}_{name}" for name, schema in own.items() if schemas.get(name, schema) != schema}
        renamed = _rename_references(document, clashing)
        for name, schema in renamed.get("components", {}).get("schemas", {}).items():
            schemas[clashing.get(name, name)] = schema
        security.update(components.get("securitySchemes", {}))
        for path, operations in renamed.get("paths", {}).items():
            if path.startswith(_API_PREFIX):
                paths.setdefault(path, {method: _with_problems(operation) for method, operation in operations.items()})
    schemas = {name: schema for name, schema in schemas.items() if name not in _FRAMEWORK_SCHEMAS}
    schemas["Problem"] = Problem.model_json_schema(ref_template=_REFERENCE + "{model}")
    schemas.update(schemas["Problem"].pop("$defs"))
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "Bookwheel",
            "version": version("bookwheel-accounts"),
            "description": "One clean, searchable, versioned catalog of bookshop websites, with rating predictions.",
        },
        "paths": dict(sorted(paths.items())),
        "components": {"schemas": dict(sorted(schemas.items())), "securitySchemes": security},
    }
