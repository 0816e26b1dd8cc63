"""Merges the OpenAPI documents of the services."""

from collections.abc import Mapping
from importlib.metadata import version
from typing import Any

from bookwheel_contracts.problems import PROBLEM_TYPE, Problem

_API_PREFIX = "/api/v1/"
_REFERENCE_PREFIX = "#/components/schemas/"
_FRAMEWORK_SCHEMAS = frozenset({"HTTPValidationError", "ValidationError"})
_PROBLEM = {
    "description": "A problem (RFC 9457); see /docs/problems for its codes.",
    "content": {PROBLEM_TYPE: {"schema": {"$ref": f"{_REFERENCE_PREFIX}Problem"}}},
}


def _rename_references(node: Any, new_names: Mapping[str, str]) -> Any:
    """Returns a copy with renamed schema references. `new_names` maps old names to new ones."""
    if isinstance(node, dict):
        return {
            key: _REFERENCE_PREFIX
            + new_names.get(value.removeprefix(_REFERENCE_PREFIX), value.removeprefix(_REFERENCE_PREFIX))
            if key == "$ref" and isinstance(value, str) and value.startswith(_REFERENCE_PREFIX)
            else _rename_references(value, new_names)
            for key, value in node.items()
        }
    if isinstance(node, list):
        return [_rename_references(value, new_names) for value in node]
    return node


def _replace_validation_response(operation: Any) -> Any:
    """Replaces the framework's 422 response, which no service returns, with the suite's problem response."""
    if not isinstance(operation, dict) or "responses" not in operation:
        return operation
    responses = {status: response for status, response in operation["responses"].items() if status != "422"}
    return {**operation, "responses": {**responses, "default": _PROBLEM}}


def merge_openapi(documents: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    """Returns one document with all public paths. If two services declare the same path, the first one is used.

    A schema gets its service's name as a prefix if an earlier service has a different schema of the same name.
    """
    paths: dict[str, Any] = {}
    schemas: dict[str, Any] = {}
    security_schemes: dict[str, Any] = {}
    for service, document in documents.items():
        components = document.get("components", {})
        service_schemas = components.get("schemas", {})
        renamed_schemas = {
            name: f"{service}_{name}" for name, schema in service_schemas.items() if schemas.get(name, schema) != schema
        }
        renamed_document = _rename_references(document, renamed_schemas)
        for name, schema in renamed_document.get("components", {}).get("schemas", {}).items():
            schemas[renamed_schemas.get(name, name)] = schema
        security_schemes.update(components.get("securitySchemes", {}))
        for path, operations in renamed_document.get("paths", {}).items():
            if path.startswith(_API_PREFIX):
                paths.setdefault(
                    path, {method: _replace_validation_response(operation) for method, operation in operations.items()}
                )
    schemas = {name: schema for name, schema in schemas.items() if name not in _FRAMEWORK_SCHEMAS}
    schemas["Problem"] = Problem.model_json_schema(ref_template=_REFERENCE_PREFIX + "{model}")
    schemas.update(schemas["Problem"].pop("$defs"))
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "Bookwheel",
            "version": version("bookwheel-accounts"),
            "description": "One clean, searchable, versioned catalog of bookshop websites, with rating predictions.",
        },
        "paths": dict(sorted(paths.items())),
        "components": {"schemas": dict(sorted(schemas.items())), "securitySchemes": security_schemes},
    }
