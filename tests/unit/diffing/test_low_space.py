"""When a storage domain counts as nearly full."""

from dataclasses import replace

import pytest

from nodeagent.wire.facts import StorageContents
from reconciler.diffing.space import is_low
from reconciler.model.desired import Meta, StorageDomain
from reconciler.model.observed import Observed, StorageObservation

UUID = "e91fea3a-b669-5638-b80d-fca89b96474c"
DOMAIN = StorageDomain(
    Meta("sd/shared", "shared", "d"), UUID, "posixfs", "/srv/shared", warning_space_percent=10
)


def seen(total: int, free: int) -> Observed:
    contents = StorageContents(UUID, master=True, complete=True, total_bytes=total, free_bytes=free)
    return Observed("dc/farm", storage={UUID: StorageObservation(UUID, "host/h1", contents)})


@pytest.mark.parametrize(("free", "low"), [(101, False), (100, False), (99, True), (0, True)])
def test_a_domain_is_low_below_its_percentage_not_at_it(free: int, low: bool) -> None:
    assert is_low(DOMAIN, seen(1000, free)) is low


def test_zero_percent_never_warns_and_a_domain_that_nobody_read_is_not_judged() -> None:
    assert not is_low(replace(DOMAIN, warning_space_percent=0), seen(1000, 0))
    assert not is_low(DOMAIN, Observed("dc/farm"))
    assert not is_low(DOMAIN, seen(0, 0))
