"""A bench for the order engine: real ledger, tenure and threads; a fake world that operations act on.

Run as a program it is the agent that tests kill: `python enginebench.py STATE_DIR` serves one order from stdin.
"""

import os
import sys
import time
import uuid
from dataclasses import replace
from pathlib import Path
from threading import Event
from types import SimpleNamespace

from nodeagent.admission import LookError
from nodeagent.clock import boottime_ms
from nodeagent.engine import Engine
from nodeagent.epoch import Tenure
from nodeagent.ledger import Ledger
from nodeagent.operations.contract import Operation, OperationError
from nodeagent.wire.arguments import KINDS, PauseVm, ResumeVm, SetMaintenance, StartVm
from nodeagent.wire.codec import decode, encode, order_digest, to_plain
from nodeagent.wire.orders import Deadline, Evidence, LeaseRequest, Order, Resync

DATA_CENTER = "dcdcdcdc-0000-4000-8000-000000000001"
HOST = "cafecafe-0000-4000-8000-000000000001"
BOOT = "b0b0b0b0-0000-4000-8000-000000000001"
VM = "11111111-0000-4000-8000-000000000001"
HOLDER = "controller-1"


class World:
    """What fake operations change: one file, a line for each effect, so that a killed child's effects can be counted."""

    def __init__(self, directory: Path):
        self.effects = directory / "effects"
        self.began = directory / "began"
        self.go = Event()
        self.go.set()
        self.error = None
        self.difference = None
        self.recovered = None
        self.objection = None
        self.subjects = {}
        self.notes = {}

    def act(self, text):
        with self.effects.open("a") as file:
            file.write(text + "\n")

    def count(self):
        return len(self.effects.read_text().splitlines()) if self.effects.exists() else 0


def fake_operations(world: World, slow_s: float = 0.0):
    def run(_host, arguments, control):
        world.began.touch()
        world.go.wait(30)
        if slow_s:
            world.act("half")
            time.sleep(slow_s)
        if control.cancelled():
            raise OperationError("cancelled", settled=True)
        if world.error is not None:
            raise world.error
        world.act(type(arguments).__name__)
        return {"effects": world.count()}

    def recover(_host, _arguments, _control):
        if isinstance(world.recovered, Exception):
            raise world.recovered
        return world.recovered

    return {
        KINDS[kind]: Operation(
            KINDS[kind],
            check=lambda _host, _arguments: world.objection,
            run=run,
            verify=lambda _host, _arguments: world.difference,
            recover=recover,
        )
        for kind in (PauseVm, ResumeVm, SetMaintenance, StartVm)
    }


def until(condition, seconds=10):
    """Wait for a condition; fails after the limit."""
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "the condition was not met in time"
        time.sleep(0.01)


class FakeFacts:
    """Generations that count up; documents are out at once."""

    def __init__(self):
        self.generation = 1

    def promise(self):
        self.generation += 1
        return self.generation

    def poke(self):
        pass


class Bench:
    """An agent's engine on `directory`; `restart` is what happens after a crash, `boot` moves its clock."""

    def __init__(self, directory: Path, slow_s: float = 0.0, ready: bool = True, threads: int = 4):
        self.directory = directory
        self.world = World(directory)
        self.offset_ms = 0
        self.data_center = None
        self._slow_s, self._threads = slow_s, threads
        self.start()
        if ready:
            self.take_lease()
            self.resync()

    def clock(self):
        return boottime_ms() + self.offset_ms

    def start(self):
        self.ledger = Ledger(self.directory, BOOT, self.clock)
        self.tenure = Tenure(self.ledger, BOOT, lambda: self.data_center, self._claim, self.clock)
        self.facts = FakeFacts()
        host = SimpleNamespace(uuid=HOST, boot_id=BOOT, name="h1")
        self.engine = Engine(
            host,
            self.ledger,
            self.tenure,
            fake_operations(self.world, self._slow_s),
            self.facts,
            lambda _arguments: self.look,
            self._threads,
            self.clock,
        )
        self.engine.start()

    def _claim(self, data_center):
        self.data_center = data_center

    def look(self, subject):
        found = self.world.subjects.get(subject, LookError("unknown subject"))
        if isinstance(found, Exception):
            raise found
        return found

    def close(self):
        self.world.go.set()
        self.engine.stop(5)
        self.ledger.close()

    def restart(self):
        self.engine.stop(5)
        self.ledger.close()
        self.start()

    def take_lease(self, epoch=1, holder=HOLDER, takeover=False, duration_ms=30_000):
        return self.tenure.request(LeaseRequest(DATA_CENTER, holder, epoch, duration_ms, takeover))

    def resync(self, epoch=1, holder=HOLDER):
        self.tenure.resync(Resync(DATA_CENTER, holder, epoch, self.ledger.id))

    def order(self, arguments=None, key="apply/1", object="vm/web-1", **changes):
        return make_order(self.ledger.id, self.clock(), arguments, key, object, **changes)

    def wait(self, key="apply/1", seconds=10):
        return self.engine.follow(key, seconds * 1000)


def make_order(ledger_id, now_ms, arguments=None, key="apply/1", object="vm/web-1", **changes):
    arguments = arguments if arguments is not None else PauseVm(VM)
    order = Order(
        key=key,
        kind=KINDS[type(arguments)],
        object=object,
        data_center=DATA_CENTER,
        holder=HOLDER,
        epoch=1,
        ledger_id=ledger_id,
        deadline=Deadline(BOOT, now_ms + 60_000),
        digest="",
        arguments=to_plain(arguments),
    )
    order = replace(order, **changes)
    if "digest" in changes:
        return order
    digest = order_digest(order.kind, order.object, order.arguments, order.expects, order.secret_digests)
    return replace(order, digest=digest)


def main():
    """Serve the order on stdin (JSON) until somebody kills us; says on stdout when it is taken."""
    bench = Bench(Path(sys.argv[1]), slow_s=float(sys.argv[2]))
    order = decode(sys.stdin.buffer.readline(), Order)
    order = replace(order, ledger_id=bench.ledger.id)
    result = bench.engine.submit(order)
    print(result.state, flush=True)
    bench.wait(order.key, 60)
    print("ended", flush=True)
    os._exit(0)


if __name__ == "__main__":
    main()

__all__ = ["BOOT", "DATA_CENTER", "HOLDER", "HOST", "VM", "Bench", "Evidence", "encode", "make_order", "uuid"]
