"""Contract values to JSON and back, strictly typed, and the digest of an order.

Used by the agent's service, the transport, the simulation and the files that `ostler observe` writes.
"""

import hashlib
from typing import Any, TypeVar

import msgspec

from nodeagent.wire.arguments import ARGUMENTS, Arguments
from nodeagent.wire.orders import Expectation, Order

T = TypeVar("T")


class ContractError(ValueError):
    """A document does not have the shape of the contract; the message names the field."""


def encode(value: Any) -> bytes:
    """A contract value as canonical JSON: keys sorted, no white space."""
    return msgspec.json.encode(value, order="sorted")


def to_plain(value: Any) -> Any:
    """A contract value as plain dictionaries, lists and scalars."""
    return msgspec.to_builtins(value)


def as_in_a_file(value: Any) -> Any:
    """A contract value as it is once it was written and read again: plain, with lists for tuples."""
    return msgspec.json.decode(msgspec.json.encode(value))


def decode(document: bytes | str, kind: type[T]) -> T:
    """JSON as a contract value; fields that the contract does not have are ignored. Raises ContractError."""
    try:
        return msgspec.json.decode(document, type=kind)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise ContractError(str(error)) from error


def convert(value: Any, kind: type[T]) -> T:
    """Plain dictionaries as a contract value, strictly: unknown fields are refused. Raises ContractError."""
    try:
        result = msgspec.convert(value, type=kind)
    except (msgspec.MsgspecError, RecursionError) as error:
        raise ContractError(str(error)) from error
    refuse_unknown(value, to_plain(result), "$")
    return result


def decode_strict(document: bytes | str, kind: type[T]) -> T:
    """JSON as a contract value; unknown fields are refused. For orders and records. Raises ContractError."""
    try:
        plain = msgspec.json.decode(document)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise ContractError(str(error)) from error
    return convert(plain, kind)


def refuse_unknown(given: Any, understood: Any, path: str) -> None:
    """Raises ContractError where `given` has a field that its understood form lost."""
    if isinstance(given, dict) and isinstance(understood, dict):
        for key, value in given.items():
            if key not in understood:
                raise ContractError(f"unknown field `{path}.{key}`")
            refuse_unknown(value, understood[key], f"{path}.{key}")
    elif isinstance(given, list) and isinstance(understood, list | tuple):
        for index, (item, other) in enumerate(zip(given, understood, strict=True)):
            refuse_unknown(item, other, f"{path}[{index}]")


def arguments_of(order: Order) -> Arguments:
    """The typed arguments of an order. Raises ContractError for an unknown kind or a wrong shape."""
    kind = ARGUMENTS.get(order.kind)
    if kind is None:
        raise ContractError(f"unknown kind of order `{order.kind}`")
    return convert(order.arguments, kind)


def order_digest(
    kind: str,
    object_id: str,
    arguments: dict[str, Any],
    expects: tuple[Expectation, ...],
    secret_digests: dict[str, str],
) -> str:
    """SHA-256 (hex) of what an order does: the same effect has the same digest, whoever sends it and when."""
    body = {
        "kind": kind,
        "object": object_id,
        "arguments": arguments,
        "expects": to_plain(expects),
        "secrets": secret_digests,
    }
    return hashlib.sha256(encode(body)).hexdigest()
