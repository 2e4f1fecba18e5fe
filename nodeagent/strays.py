"""What the agent does about its guests by itself, comparing them with their records on storage.

A guest whose record shows an open run that names only other hosts is destroyed: it is a second life of its VM. The
source of a finished migration narrows the record to where the guest is. An exit is forgotten once the record has
it. A guest that was adopted, or whose run was found, gets its label. One that halted for want of space goes on (`resuming`). Every judgement that ends or narrows something is made twice, some seconds apart.
"""

import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from threading import Event, Thread
from typing import Literal

from nodeagent.facts.guests import Guests, GuestsSeen
from nodeagent.formats.vmrecords import read_vm_record
from nodeagent.guestxml.metadata import GuestMetadata, metadata_xml
from nodeagent.host import Host
from nodeagent.operations.contract import OperationError
from nodeagent.operations.vm_living import living_config, relabel_config
from nodeagent.operations.vm_places import open_record, prepare_directory
from nodeagent.resuming import Resuming
from nodeagent.wire.facts import ExitFacts, GuestFacts
from nodeagent.wire.records import Run, VmRecord

LOG = logging.getLogger(__name__)

PERIOD_S = 10.0
SECOND_LOOK_S = 3.0

Verdict = Literal["keep", "destroy", "leave-out", "only-here", "label"]


@dataclass(frozen=True, slots=True)
class Judgement:
    """What is to be done about a VM, and the run for which that holds."""

    verdict: Verdict
    run: int = 0


KEEP = Judgement("keep")
SECOND_LIFE = "its record named only other hosts, so this was a second life of the VM"
EXPLANATIONS: dict[Verdict, str] = {
    "keep": "nothing to do",
    "destroy": "destroyed, because its record names only other hosts",
    "leave-out": "it has moved away, and the record is told so",
    "only-here": "its migration is over and it stayed, and the record is told so",
    "label": "taken over, and labelled with its run",
}


def judge_guest(guest: GuestFacts, record: VmRecord | None, host: str, *, migrating: bool) -> Judgement:
    """What to do about a guest that runs here. host: this host's uuid. migrating: this agent moves it just now.

    Only a record with an open run of the guest's own number or a later one speaks against it: an older one was
    read before its latest claim.
    """
    run = record.run if record is not None and not record.removed else None
    if record is None or run is None or run.closed is not None or migrating:
        return KEEP
    here = host in _hosts(run)
    if not guest.managed:
        return (
            Judgement("label", run.number) if here and guest.config is not None and record.managed else KEEP
        )
    living = guest.config.run if guest.config is not None else None
    if living is None or run.number < living:
        return KEEP
    if not here:
        return Judgement("destroy", run.number)
    stayed = guest.state in ("running", "paused") and guest.pause_reason in ("", "user", "io-error")
    if _hosts(run)[0] == host and len(run.hosts) > 1 and stayed:
        return Judgement("only-here", run.number)
    if living < run.number and _hosts(run) == [host] and stayed:
        return Judgement("label", run.number)  # its run was written after it was started by hand
    return KEEP


def judge_absence(record: VmRecord | None, host: str, *, migrating: bool) -> Judgement:
    """What to do about a record whose VM does not run here: the source of a migration that is over leaves it."""
    run = record.run if record is not None else None
    if run is None or run.closed is not None or migrating:
        return KEEP
    if len(run.hosts) > 1 and _hosts(run)[0] == host:
        return Judgement("leave-out", run.number)
    return KEEP


def _hosts(run: Run) -> list[str]:
    return [runner.uuid for runner in run.hosts]


def is_settled(exit_: ExitFacts, record: VmRecord | None) -> bool:
    """Whether a record holds the end of this run, or has gone beyond it."""
    run = record.run if record is not None else None
    return run is not None and (
        run.number > exit_.run or (run.number == exit_.run and run.closed is not None)
    )


class Strays:
    """Looks every ten seconds, in a thread of its own. guests: shared with the facts."""

    def __init__(self, host: Host, guests: Guests) -> None:
        self._host = host
        self._guests = guests
        self._resuming = Resuming(host, host.storage.facts)
        self._stopping = Event()

    def start(self) -> None:
        """Look from now on; call it after the orders that an earlier life left open are taken up.

        Raises OperationError if the directory cannot be made in which arriving guests keep their console's log.
        """
        prepare_directory(self._host.paths.console_logs)
        Thread(target=self._run, name="strays", daemon=True).start()

    def stop(self) -> None:
        """Look no more."""
        self._stopping.set()

    def _run(self) -> None:
        while not self._stopping.wait(PERIOD_S):
            try:
                self.look(lambda: self._stopping.wait(SECOND_LOOK_S))
            except OperationError as error:
                LOG.warning("guests could not be compared with their records: %s", error.summary)

    def look(self, pause: Callable[[], object]) -> None:
        """Judge every guest and exit, and after `pause` again those of whom something follows. Raises OperationError."""
        seen = self._guests.collect()
        self._resuming.look(seen.guests, self._master())
        first = self._judge(seen)
        if not first:
            return
        pause()
        second = self._judge(self._guests.collect())
        for vm, judgement in first.items():
            if second.get(vm) == judgement:
                self._act(vm, judgement)

    def _judge(self, seen: GuestsSeen) -> dict[str, Judgement]:
        """Judgements other than to keep, by VM; none without a readable master domain or a complete look."""
        master = self._master()
        if master is None or not seen.complete:
            return {}
        judgements = {}
        for guest in seen.guests:
            migrating = guest.uuid in self._host.hypervisor.migrations
            with _skipping(f"the record of VM {guest.uuid}"):
                record = read_vm_record(master, guest.uuid)
                judgements[guest.uuid] = judge_guest(guest, record, self._host.uuid, migrating=migrating)
        for exit_ in self._host.exits.pending():
            with _skipping(f"the record of VM {exit_.vm}"):
                judgement = self._judge_exit(exit_, read_vm_record(master, exit_.vm))
                judgements.setdefault(exit_.vm, judgement)
        return {vm: judgement for vm, judgement in judgements.items() if judgement != KEEP}

    def _judge_exit(self, exit_: ExitFacts, record: VmRecord | None) -> Judgement:
        judgement = KEEP
        if exit_.reason == "migrated":
            migrating = exit_.vm in self._host.hypervisor.migrations
            judgement = judge_absence(record, self._host.uuid, migrating=migrating)
        if judgement == KEEP and is_settled(exit_, record):
            self._host.exits.forget(exit_.vm, exit_.run)
        return judgement

    def _master(self) -> Path | None:
        master = next((domain for domain in self._host.storage.facts() if domain.master), None)
        return None if master is None or master.state != "active" else self._host.storage.place(master.uuid)

    def _act(self, vm: str, judgement: Judgement) -> None:
        master = next((domain.uuid for domain in self._host.storage.facts() if domain.master), None)
        if master is None:
            return
        LOG.warning("VM %s, run %d: %s", vm, judgement.run, EXPLANATIONS[judgement.verdict])
        if judgement.verdict == "destroy":
            with self._host.exits.destroying(vm, SECOND_LIFE):
                self._host.hypervisor.destroy(vm)
            return
        records = open_record(self._host, master, vm)
        run = records.record.run
        if run is None or run.number != judgement.run or run.closed is not None:
            return
        mine = tuple(runner for runner in run.hosts if runner.uuid == self._host.uuid)
        others = tuple(runner for runner in run.hosts if runner.uuid != self._host.uuid)
        if judgement.verdict == "label":
            label_adopted(self._host, records.record)
        elif judgement.verdict == "only-here":
            relabel_config(self._host, vm, lambda config: replace(config, run=judgement.run))
            records.settle(judgement.run, mine)
        elif judgement.verdict == "leave-out":
            records.settle(judgement.run, others)
            self._host.exits.forget(vm, judgement.run)


def label_adopted(host: Host, record: VmRecord) -> None:
    """Give a guest that somebody else started our metadata, from its record and from what it is. Raises OperationError."""
    config = living_config(host, record.uuid)
    names = {mac: name for name, mac in record.macs.items()}
    labelled = replace(
        config,
        object=record.object,
        data_center=record.data_center,
        run=record.run.number if record.run is not None else 0,
        nics=tuple(replace(nic, name=names.get(nic.mac, nic.name)) for nic in config.nics),
    )
    host.hypervisor.set_metadata(record.uuid, metadata_xml(GuestMetadata(labelled)))


@contextmanager
def _skipping(what: str) -> Iterator[None]:
    try:
        yield
    except OperationError as error:
        LOG.warning("%s cannot be read: %s", what, error.summary)
