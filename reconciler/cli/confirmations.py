"""What persons have confirmed in this store: hosts that are off, for the present incident."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING

from reconciler.cli.home import find_home
from reconciler.model.desired import Desired
from reconciler.model.reports import HostOffProof

if TYPE_CHECKING:
    from reconciler.store.store import Store


@contextmanager
def opened_store() -> "Iterator[Store]":
    """This home's store, made if there is none; closed with the block."""
    from reconciler.store.store import open_store

    home = find_home()
    home.directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    store = open_store(home.store)
    try:
        yield store
    finally:
        store.close()


def known_proofs(desired: Desired) -> tuple[HostOffProof, ...]:
    """Confirmations that hold; none where there is no store yet."""
    if not find_home().has_store:
        return ()
    with opened_store() as store:
        return store.confirmations.current(desired.data_center.uuid)


def end_incidents(desired: Desired, hosts: Sequence[str]) -> None:
    """Hosts (uuids) that answer are not off: what was confirmed of them no longer holds."""
    if not known_proofs(desired):
        return
    with opened_store() as store:
        store.confirmations.end(desired.data_center.uuid, hosts)
