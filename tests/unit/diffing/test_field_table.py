"""The field table speaks of every field that a manifest may hold, and of no other."""

import typing
from collections.abc import Iterator

import pytest
from pydantic import BaseModel

from reconciler.desired.schema.kinds import KIND_SCHEMAS
from reconciler.diffing.fields import IDENTITY, TABLE, effect_of, rules_for
from reconciler.model.change import Effect
from reconciler.model.names import PREFIXES

ROWS = {rule.field for rule in (*TABLE, *IDENTITY)}


def models_in(annotation: object) -> list[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return [annotation]
    return [one for part in typing.get_args(annotation) for one in models_in(part)]


def leaves(model: type[BaseModel], path: tuple[str, ...]) -> Iterator[tuple[str, ...]]:
    for name, field in model.model_fields.items():
        here = (*path, field.alias or name)
        inner = models_in(field.annotation)
        if not inner:
            yield here
        for one in inner:
            yield from leaves(one, here)


def declared_fields() -> list[str]:
    found = []
    for kind, schema in KIND_SCHEMAS.items():
        (spec,) = models_in(schema.manifest.model_fields["spec"].annotation)
        found += [".".join(path) for path in leaves(spec, (PREFIXES[kind],))]
    return found


@pytest.mark.parametrize("field", declared_fields())
def test_every_declared_field_has_a_row(field):
    """Its own, or that of what it is part of: a kernel's path is part of `vm.boot`."""
    rules = rules_for(field)

    assert rules
    assert all(field.startswith(rule.field) or rule.field == "vm.cdrom.file" for rule in rules)


@pytest.mark.parametrize(
    ("field", "rows"),
    [
        ("vm.boot.kernel", {"vm.boot"}),
        ("vm.cdrom.storageDomain", {"vm.cdrom.file"}),
        ("vm.disks.disk", {"vm.disks"}),
        ("host.networks.nic", {"host.networks"}),
        ("cluster.migration.bandwidth", {"cluster.migration"}),
        ("vm.placement", {"vm.placement.hosts", "vm.placement.migration"}),
        ("vm.memory", {"vm.memory"}),
    ],
)
def test_a_part_has_the_rows_of_its_whole_and_a_whole_those_of_its_parts(field, rows):
    assert {rule.field for rule in rules_for(field)} == rows


def test_no_row_speaks_of_a_field_that_nobody_can_declare():
    parts = {".".join(field.split(".")[:length]) for field in declared_fields() for length in range(2, 9)}

    assert parts >= ROWS


def test_no_two_rows_are_about_the_same_change():
    keys = [(rule.field, rule.when) for rule in (*TABLE, *IDENTITY)]

    assert len(keys) == len(set(keys))


@pytest.mark.parametrize("rule", (*TABLE, *IDENTITY), ids=lambda rule: f"{rule.field} {rule.when}")
def test_every_note_is_a_sentence(rule):
    assert rule.note[0].isupper()
    assert rule.note.endswith(".")


@pytest.mark.parametrize(
    ("field", "when", "effect"),
    [
        ("vm.memory", ("within-maximum",), Effect.LIVE),
        ("vm.memory", (), Effect.NEXT_START),
        ("disk.size", ("raised",), Effect.LIVE),
        ("disk.size", ("lowered",), Effect.REFUSE),
        ("vm.cluster", ("running",), Effect.REFUSE),
        ("vm.cluster", ("stopped",), Effect.LIVE),
    ],
)
def test_the_first_row_whose_condition_holds_decides(field, when, effect):
    assert effect_of(field, when) is effect


def test_a_field_without_a_row_is_a_bug_and_says_its_name():
    with pytest.raises(KeyError, match=r"vm\.colour"):
        effect_of("vm.colour")
    assert rules_for("vm.colour") == ()
