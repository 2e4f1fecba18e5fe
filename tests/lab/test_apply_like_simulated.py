"""The same story in the simulation and on real hosts, from the same observation: plan by plan the same text."""

from collections.abc import Callable
from dataclasses import dataclass

from nodeagent.wire.codec import decode
from reconciler.cli.loading import load_data_center
from reconciler.cli.rehearsal import Rehearsal
from reconciler.cli.worlds import HostSize, found_world
from reconciler.execution.run import Watcher
from reconciler.loop import Turn
from reconciler.model.desired import Desired
from reconciler.model.plan import Plan
from reconciler.model.reports import Reports
from reconciler.planfile.text import render_text
from reconciler.simulation.clock import run_in_virtual_time
from reconciler.simulation.script import Event
from reconciler.simulation.world import World
from tests.lab.apply_estate import Estate, wait_for

PAIR = {"hosts": ["h1", "h2"]}


@dataclass(frozen=True)
class Scene:
    """A change of the manifests, or something that befalls a VM: on real hosts, and in the world."""

    name: str
    edit: Callable[[Estate], None] = lambda _estate: None
    befall: Callable[[Estate], None] = lambda _estate: None
    simulate: Callable[[World], None] = lambda _world: None


def declare(estate: Estate) -> None:
    estate.change("host/h2", maintenance=True)
    nics = [{"name": "nic1", "network": "lan"}]
    estate.declare_vm("web", placement=PAIR, nics=nics, maxMemory="160Mi", priority=60)
    estate.declare_vm("db", placement=PAIR, runPolicy="Always")
    estate.declare_vm("batch", disk=None, placement=PAIR)


def change(estate: Estate) -> None:
    estate.change("host/h2", maintenance=None)
    estate.change("vm/web", memory="144Mi", nics=[{"name": "nic1", "network": "dmz"}], rng=False)
    estate.change("disk/db-root", size="80Mi")


def destroy(estate: Estate) -> None:
    estate.report("vm/db")
    estate.virsh(estate.home_of("vm/db"), "destroy", estate.uuid("vm/db"))
    wait_until_gone(estate, "vm/db")


def shut_down(estate: Estate) -> None:
    estate.report("vm/batch")
    estate.virsh(estate.home_of("vm/batch"), "shutdown", estate.uuid("vm/batch"))
    wait_until_gone(estate, "vm/batch")


def wait_until_gone(estate: Estate, vm: str) -> None:
    """The plan is made when the agent has seen it too."""
    wait_for(lambda: not estate.homes(vm) and estate.plan()[1].status != 0, f"the end of {vm}")


STORY = (
    Scene("first apply", edit=declare),
    Scene("live changes", edit=change),
    Scene("maintenance", edit=lambda estate: estate.change("host/h1", maintenance=True)),
    Scene("a guest destroyed", befall=destroy, simulate=lambda world: world.end_guest("vm/db", "destroyed")),
    Scene("a guest that left", befall=shut_down,
          simulate=lambda world: world.end_guest("vm/batch", "shutdown")),
    Scene("stopped", edit=lambda estate: estate.change("vm/web", runPolicy="Stopped", placement={"hosts": ["h2"]})),
    Scene("opened and started", edit=lambda estate: (estate.change("host/h1", maintenance=None),
                                                     estate.change("vm/web", runPolicy=None))),
)  # fmt: skip


class Reader:
    """Keeps the text of each plan that has steps."""

    def __init__(self) -> None:
        self.texts: list[str] = []

    def planned(self, plan: Plan) -> Watcher | None:
        if plan.steps:
            self.texts.append(render_text(plan))
        return None

    def turned(self, turn: Turn) -> None:
        assert turn.outcome is None or turn.outcome.achieved, turn.outcome

    def happened(self, at_s: float, event: Event) -> None:
        """Nothing of the kind is in this story."""


def test_plans_on_real_hosts_are_those_of_the_simulation(data_center: Estate) -> None:
    estate = data_center
    file = estate.directory / "observed.json"
    assert estate.ostler("observe", "-f", str(estate.write()), "--out", str(file)).status == 0
    observed = decode(file.read_bytes(), Reports)
    real: list[str] = []
    declared: list[Desired] = []
    for scene in STORY:
        scene.edit(estate)
        scene.befall(estate)
        manifests = estate.write()
        declared.append(load_data_center([str(manifests)])[0])
        done = estate.apply()
        real.append(done.out.partition("\n")[2])
        assert estate.plan()[0].steps == (), scene.name

    simulated = run_in_virtual_time(rehearse(declared, observed))
    for scene, here, there in zip(STORY, real, simulated, strict=True):
        assert here == there, scene.name
    estate.discard_vms()


async def rehearse(declared: list[Desired], observed: Reports) -> list[str]:
    """The text of the plan of each scene."""
    reader = Reader()
    rehearsal = Rehearsal(declared[0], found_world(declared[0], HostSize(0, 0), observed), reader)
    for scene, desired in zip(STORY, declared, strict=True):
        rehearsal.desired = desired
        scene.simulate(rehearsal.world)
        await rehearsal.converge()
    return reader.texts
