"""Worlds for the laws: a converged one, what befell it, and what is declared now. Prints as a scenario could be written."""

from dataclasses import dataclass, replace

from hypothesis import strategies as st

from reconciler.model.desired import Desired
from reconciler.model.options import PassOptions
from tests.laws.estates import GIB, Brief, EstateSpec, build, edited, estate_specs
from tests.scenarios.events import befall
from tests.scenarios.manifests import CaseError
from tests.scenarios.stage import CAPABILITIES, Stage, make_stage

OPTIONS = PassOptions(allow_prune=99)


@dataclass(frozen=True, slots=True, repr=False)
class History(Brief):
    """First `before` was declared and applied, then the events happened, and `after` is declared now."""

    before: EstateSpec
    events: tuple[str, ...]
    after: EstateSpec

    def desired(self) -> Desired:
        """What is declared now."""
        return build(self.after)

    def stage(self) -> Stage:
        """The world as it is now."""
        before = build(self.before)
        hosts = {
            f"host/h{i + 1}": replace(CAPABILITIES, memory_bytes=one.memory * GIB)
            for i, one in enumerate(self.before.hosts)
        }
        stage = make_stage(before, hosts)
        stage.converge(before, OPTIONS)
        for event in self.events:
            happen(stage, before, event)
        return stage


def happen(stage: Stage, desired: Desired, event: str) -> None:
    """An event, unless it cannot be: what does not run cannot crash, and nobody confirms what is not so."""
    name, target, *_ = event.split()
    host = stage.world.hosts.get(target)
    possible = {
        "power-off": host is not None and host.powered,
        "power-on": host is not None and not host.powered,
        "cut": host is not None and host.reachable,
        "mend": host is not None and not host.reachable,
        "confirm-off": host is not None and not host.powered,
    }
    if not possible.get(name, True):
        return
    if name == "power-on":
        stage.proofs[:] = [one for one in stage.proofs if one.host != target]
    try:
        befall(stage, desired, event)
    except CaseError:
        return


def events(spec: EstateSpec) -> st.SearchStrategy[str]:
    """Anything that may befall an estate."""
    hosts = st.sampled_from([f"host/h{i + 1}" for i in range(len(spec.hosts))])
    of_hosts = st.sampled_from(
        (
            "power-off {}", "power-off {}", "power-on {}", "cut {}", "mend {}", "confirm-off {}", "lose-ledger {}",
            "forget-exits {}", "unplug-bridge {} vms", "stranger {} legacy 256Mi", "incomplete {}", "unheard {}",
            "refuse {} no", "load {} 95", "swap {}", "bridge {} br1",
            "skew {} 400",
        )
    )  # fmt: skip
    found = st.builds(lambda text, host: text.format(host), of_hosts, hosts)
    found |= st.just("days 8")
    if spec.domains > 1:
        found |= st.sampled_from(("unreadable sd/silver", "unreadable sd/shared"))
    if spec.vms:
        vms = st.sampled_from([f"vm/v{one.number}" for one in spec.vms])
        of_vms = st.sampled_from(
            (
                "destroy {}", "destroy {}", "crash {}", "shut-down {}", "set {} memory 128Mi", "set {} link down",
                "set {} title other", "damage-record {}", "resize disk/{}-0 4Gi", "half-make disk/{}-0",
                "lose-image disk/{}-0",
            )
        )  # fmt: skip
        found |= st.builds(_about_vm, of_vms, vms)
    return found


def _about_vm(text: str, vm: str) -> str:
    return text.format(vm.removeprefix("vm/") if "disk/" in text else vm)


@st.composite
def histories(draw: st.DrawFn, most_events: int = 4) -> History:
    """Any history; events come from a converged world."""
    before = draw(estate_specs())
    happened = draw(st.lists(events(before), max_size=most_events))
    after = draw(st.just(before) | edited(before))
    return History(before, tuple(happened), after)


@st.composite
def quiet_histories(draw: st.DrawFn) -> History:
    """Histories in which nothing went wrong: only the declaration changed."""
    before = draw(estate_specs())
    return History(before, (), draw(edited(before)))
