"""A schema as a flat table, path of a field -> what is said about it: the same for a CRD and for a pydantic model."""

from collections.abc import Iterator, Mapping
from datetime import timedelta
from typing import Any

from pydantic import BaseModel
from pydantic.json_schema import GenerateJsonSchema

from tiketi_runtime.contracts.duration import format_duration

Schema = Mapping[str, Any]
Facts = dict[str, Any]
Table = dict[str, Facts]

BOUNDS = (
    "type",
    "enum",
    "minimum",
    "maximum",
    "minLength",
    "maxLength",
    "pattern",
    "minItems",
    "maxItems",
)


def table_of_crd(schema: Schema) -> Table:
    """Facts of every field below a CRD's schema; fields of free form are left out."""
    return dict(_walk(schema, "", lambda node: node))


def table_of_model(model: type[BaseModel]) -> Table:
    """Facts of every field of a model, as its users write it (camelCase, durations as text)."""
    schema = model.model_json_schema(schema_generator=_ContractSchema)
    return dict(_walk(schema, "", lambda node: _plain(node, schema.get("$defs", {}))))


def differences(left: Table, right: Table) -> list[str]:
    """What the two tables do not say alike, one line each; empty when they agree."""
    found = [f"{path}: only on the left" for path in left.keys() - right.keys()]
    found += [f"{path}: only on the right" for path in right.keys() - left.keys()]
    for path in left.keys() & right.keys():
        for fact in left[path].keys() | right[path].keys():
            one, other = left[path].get(fact), right[path].get(fact)
            if one != other:
                found.append(f"{path}: {fact} is {one!r} on the left and {other!r} on the right")
    return sorted(found)


class _ContractSchema(GenerateJsonSchema):
    def encode_default(self, dft: Any) -> Any:
        """Write the default of a duration as the field itself would be written."""
        return format_duration(dft) if isinstance(dft, timedelta) else super().encode_default(dft)


def _plain(node: Schema, definitions: Mapping[str, Schema]) -> Schema:
    """Follow references; an optional field is simply not required, as in a CRD."""
    if node.get("default", ...) is None:
        node = {key: value for key, value in node.items() if key != "default"}
    for option in node.get("anyOf", []):
        if option.get("type") != "null":
            node = {**option, **node}
    if "$ref" in node:
        node = {**definitions[node["$ref"].rpartition("/")[2]], **node}
    return node


def _walk(node: Schema, path: str, resolve: Any) -> Iterator[tuple[str, Facts]]:
    node = resolve(node)
    for name, raw in node.get("properties", {}).items():
        child = resolve(raw)
        if child.get("x-kubernetes-preserve-unknown-fields"):
            continue
        where = f"{path}.{name}" if path else name
        yield where, {**_facts(child, resolve), "required": name in node.get("required", [])}
        yield from _walk(child, where, resolve)
    if "items" in node:
        items = resolve(node["items"])
        yield f"{path}[]", _facts(items, resolve)
        yield from _walk(items, f"{path}[]", resolve)


def _facts(node: Schema, resolve: Any) -> Facts:
    facts = {name: node[name] for name in BOUNDS if name in node}
    if node.get("type") == "string" and "format" in node:
        facts["format"] = node["format"]
        facts["rules"] = [rule["rule"] for rule in node.get("x-kubernetes-validations", [])]
    if "default" in node:
        facts["default"] = _complete(node, node["default"], resolve)
    return facts


def _complete(node: Schema, value: Any, resolve: Any) -> Any:
    """A default with the defaults below it filled in, as the API server does."""
    if not isinstance(value, dict):
        return value
    filled = {}
    for name, raw in node.get("properties", {}).items():
        child = resolve(raw)
        given = value.get(name, child.get("default"))
        if given is not None:
            filled[name] = _complete(child, given, resolve)
    return filled
