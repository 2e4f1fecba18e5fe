"""Which object a person means: by id, by name within its kind, or by the `spec.name` that its manifest gives it."""

from collections.abc import Iterator, Mapping
from typing import Annotated

import typer

from reconciler.cli.failures import CommandError
from reconciler.model.desired import Desired
from reconciler.model.names import name_of

CenterOption = Annotated[
    str | None,
    typer.Option("--data-center", help="Which one, by name or uuid, if this store serves several."),
]


def shown_names(desired: Desired) -> dict[str, str]:
    """The name shown to people of every object of a data center, by id."""
    return {name: shown for group in _groups(desired) for name, shown in group}


def _groups(desired: Desired) -> Iterator[Iterator[tuple[str, str]]]:
    center = desired.data_center.meta
    yield iter(((center.id, center.name),))
    for group in (
        desired.clusters, desired.hosts, desired.networks, desired.storage_domains, desired.disks, desired.vms
    ):  # fmt: skip
        yield ((name, one.meta.name) for name, one in group.items())


def find_id(wanted: str, shown: Mapping[str, str], kind: str = "") -> str | None:
    """The id of the object that is meant, None if there is none. Ends the command if it may be several.

    shown: the objects that it may be, by id, with the names shown to people. kind: the prefix of ids (`vm`) that goes
    without saying, if one does. An id is always meant as such; a bare name that is none in the default namespace may be
    that of an object in another one.
    """
    if wanted in shown:
        return wanted
    prefix, slash, rest = wanted.partition("/")
    words = [(f"{kind}/" if kind else "", wanted)]
    if slash:
        words.append((f"{prefix}/", rest))
    found = [
        name
        for name, text in shown.items()
        for start, word in words
        if name.startswith(start) and (name == f"{start}{word}" or (text == word and _is_chosen(name, text)))
    ]
    if not found and kind and not slash:
        found = [name for name in shown if name.startswith(f"{kind}/") and name_of(name) == wanted]
    if len(set(found)) > 1:
        raise CommandError(f"{wanted} may be {' or '.join(dict.fromkeys(found))}; give the id")
    return found[0] if found else None


def _is_chosen(identifier: str, shown: str) -> bool:
    """Whether a shown name is a `spec.name`, and not the object's own name over again."""
    return name_of(identifier) != shown


def find_center(centers: Mapping[str, str], wanted: str) -> str:
    """The uuid of a data center that this store serves, by name, id or uuid. Ends the command if there is none, or
    several have that name."""
    found = [uuid for uuid, name in centers.items() if wanted in (uuid, name, name.partition("/")[2])]
    if len(found) == 1:
        return found[0]
    known = ", ".join(f"{name} ({uuid})" for uuid, name in centers.items()) or "none yet"
    why = "several are called so: give the uuid" if found else "there is none"
    raise typer.BadParameter(f"{wanted}: {why}; this store serves {known}", param_hint="--data-center")
