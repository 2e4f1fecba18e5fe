"""`ostler vm`: what a person asks of one VM, kept as an intent in its record and carried out like any plan."""

import asyncio
from dataclasses import dataclass, replace
from typing import Annotated

import typer

from nodeagent.wire.records import Intent, IntentAction
from reconciler.cli.attendance import looking
from reconciler.cli.carrying import agree, carry_out, refuse, show_plan_text, status_of_end
from reconciler.cli.clock import wallclock_ms
from reconciler.cli.confirmations import opened_store
from reconciler.cli.earlier import show_settled
from reconciler.cli.failures import CommandError
from reconciler.cli.fleet import controller_files, holder_name, open_fleet
from reconciler.cli.home import find_home
from reconciler.cli.intents import (
    ENDINGS,
    find_destination,
    find_vm,
    look_at,
    make_intent,
    needless,
    refuse_contradiction,
    refuse_impossible,
)
from reconciler.cli.loading import load_data_center
from reconciler.cli.plan import DataCenterOption, PathsOption
from reconciler.cli.secrets import SecretsOption, secrets_from
from reconciler.cli.statuses import Status
from reconciler.desired.places import Places
from reconciler.execution.run import Applier
from reconciler.loop import Estate, look, look_settled, plan_reports
from reconciler.model.desired import Desired, VirtualMachine
from reconciler.model.plan import Plan
from reconciler.pipeline import Pass
from reconciler.planfile.text import blocked_line, deferred_line
from reconciler.planning.scope import keep_steps, narrow_plan
from reconciler.store.database import StoreHeldError
from reconciler.store.requests import ENDED, Request
from reconciler.store.store import Store

TAKEN_UP_S = 30.0
"""How long an intent may lie before somebody who holds the store takes it up."""
POLL_S = 0.5

app = typer.Typer(no_args_is_help=True, help="VMs: start, stop, reboot, pause, resume, migrate.")

NameArgument = Annotated[str, typer.Argument(metavar="NAME", help="The VM's id, name or spec.name.")]
YesOption = Annotated[bool, typer.Option("--yes", help="Do not ask.")]
WaitOption = Annotated[
    bool,
    typer.Option(
        "--wait/--no-wait", help="Wait for the end, or only leave the intent for the next apply or the loop."
    ),
]


def register(root: typer.Typer) -> None:
    """Adds the commands."""
    root.add_typer(app, name="vm")


@dataclass(frozen=True, slots=True)
class Order:
    """What the command line asks for."""

    desired: Desired
    places: Places
    vm: VirtualMachine
    action: IntentAction
    host: str | None
    yes: bool
    wait: bool


@app.command()
def start(
    name: NameArgument, file: PathsOption, data_center: DataCenterOption = None, yes: YesOption = False,
    wait: WaitOption = True, secrets: SecretsOption = None,
) -> int:  # fmt: skip
    """Start a VM."""
    return _ask("start", name, file, data_center, yes=yes, wait=wait, secrets=secrets)


@app.command()
def stop(
    name: NameArgument, file: PathsOption, data_center: DataCenterOption = None, yes: YesOption = False,
    wait: WaitOption = True,
) -> int:  # fmt: skip
    """Shut a VM down; it stays down until somebody starts it."""
    return _ask("stop", name, file, data_center, yes=yes, wait=wait)


@app.command()
def reboot(
    name: NameArgument, file: PathsOption, data_center: DataCenterOption = None, yes: YesOption = False,
    wait: WaitOption = True, secrets: SecretsOption = None,
) -> int:  # fmt: skip
    """Shut a VM down and start it again, with all changes that wait for its next start."""
    return _ask("reboot", name, file, data_center, yes=yes, wait=wait, secrets=secrets)


@app.command()
def pause(
    name: NameArgument, file: PathsOption, data_center: DataCenterOption = None, yes: YesOption = False,
    wait: WaitOption = True,
) -> int:  # fmt: skip
    """Let a VM's CPUs stand still; its memory stays where it is."""
    return _ask("pause", name, file, data_center, yes=yes, wait=wait)


@app.command()
def resume(
    name: NameArgument, file: PathsOption, data_center: DataCenterOption = None, yes: YesOption = False,
    wait: WaitOption = True,
) -> int:  # fmt: skip
    """Let a paused VM go on."""
    return _ask("resume", name, file, data_center, yes=yes, wait=wait)


@app.command()
def migrate(
    name: NameArgument, file: PathsOption,
    host: Annotated[str | None, typer.Option("--host", help="Where to; without it placement chooses.")] = None,
    data_center: DataCenterOption = None, yes: YesOption = False, wait: WaitOption = True,
) -> int:  # fmt: skip
    """Move a running VM to another host."""
    return _ask("migrate", name, file, data_center, yes=yes, wait=wait, host=host)


def _ask(
    action: IntentAction,
    name: str,
    paths: list[str],
    data_center: str | None,
    *,
    yes: bool,
    wait: bool,
    host: str | None = None,
    secrets: SecretsOption = None,
) -> int:
    """Reads, refuses what the manifests forbid, then asks the hosts."""
    desired, loaded = load_data_center(paths, data_center)
    vm, destination = find_vm(desired, name), find_destination(desired, host)
    order = Order(desired, loaded.places, vm, action, destination, yes, wait)
    refuse_contradiction(desired, loaded.places, vm, Intent("", action, destination))
    files = controller_files(find_home())
    with opened_store() as store:
        applier = Applier(
            holder_name(store), files.digest_key.read_bytes(), secrets_from(secrets), wallclock=wallclock_ms
        )
        try:
            with store.exclusive("ostler vm"):
                return asyncio.run(_do(order, store, applier, held=True))
        except StoreHeldError:
            return asyncio.run(_do(order, store, applier, held=False))


async def _do(order: Order, store: Store, applier: Applier, *, held: bool) -> int:
    """Looks, plans what is asked for this VM alone, asks, and carries it out or hands it over."""
    async with open_fleet(order.desired) as fleet:
        estate = Estate(order.desired, fleet, store, applier)
        before = await _look(estate, held=held)
        asked = look_at(before, order.vm, order.action, order.host)
        refuse_impossible(asked)
        if reason := needless(asked):
            typer.echo(f"{order.vm.meta.id}: nothing to do: {reason}", err=True)
            return Status.DONE
        intent = make_intent(asked)
        estate = replace(estate, options=replace(estate.options, intents={order.vm.meta.id: intent}))
        fresh = plan_reports(estate, before.reports)
        plan = _plan_for(order, before, fresh, held=held)
        show_plan_text(plan)
        if not held:
            agree(f"Ask the running loop to {order.action} {order.vm.meta.id}?", yes=order.yes)
            return await _hand_over(order, store, _as_shown(order, plan, intent))
        refuse(estate, plan, fresh)
        agree(f"{order.action.capitalize()} {order.vm.meta.id}?", yes=order.yes)
        outcome = await carry_out(estate, plan, fresh)
        status = status_of_end(outcome)
        if status is not Status.DONE and order.action == "migrate":
            await _tell_where(order, estate)
        waits = [one for one in plan.deferred if one not in before.plan.deferred] if order.wait else []
        if status is Status.DONE and waits:
            typer.echo(f"noted, and waits: {deferred_line(waits[0])}", err=True)
            return Status.BLOCKED
        if status is Status.DONE:
            typer.echo(_ending(order), err=True)
        return status


async def _tell_where(order: Order, estate: Estate) -> None:
    """After a move that was not achieved: where the VM is now."""
    name = order.vm.meta.id
    done = await _look(estate, held=False)
    seen = done.observed.vms.get(done.identities.vms[name])
    where = (
        f"runs on {seen.host}"
        if seen is not None and seen.host is not None
        else "is not seen on any host now"
    )
    typer.echo(f"{name} {where}", err=True)


async def _look(estate: Estate, *, held: bool) -> Pass:
    """A pass; with the right to apply, after what an earlier apply left has been settled."""
    with looking(estate.fleet) as asked:
        estate = replace(estate, fleet=asked)
        if not held:
            return await look(estate)
        turn = await look_settled(estate)
    show_settled(turn.settled)
    return turn.done


def _plan_for(order: Order, before: Pass, fresh: Pass, *, held: bool) -> Plan:
    """The part of the plan that is about this VM. Ends the command, with nothing written, if the intent cannot be met; what
    only waits is left to the process that holds the store, if one does."""
    name = order.vm.meta.id
    plan = narrow_plan(order.desired, fresh.observed, fresh.plan, {name})
    known = set(before.plan.blocked)
    new = [one for one in plan.blocked if one not in known]
    written = f"{name}#update-record"
    if new or all(step.id != written for step in plan.steps):
        waits = not new and _waits(name, plan)
        if waits and not held:
            return plan
        lines = [f"blocked: {blocked_line(one)}" for one in (new or plan.blocked)]
        lines += [f"deferred: {deferred_line(one)}" for one in plan.deferred]
        again = "; ask again after that, or leave it to `ostler run`, which waits for it" if waits else ""
        raise CommandError("\n".join([*lines, f"nothing was done{again}"]), Status.BLOCKED)
    return plan if order.wait else keep_steps(order.desired, fresh.observed, plan, {written})


def _waits(name: str, plan: Plan) -> bool:
    """Whether time alone is in the way of what is asked of a VM."""
    return any(one.object == name for one in plan.deferred) and all(
        one.object != name for one in plan.blocked
    )


def _ending(order: Order) -> str:
    """The last line."""
    if order.wait:
        return f"{order.vm.meta.id} {ENDINGS[order.action]}"
    return f"{order.vm.meta.id}: noted; the next `ostler apply`, or the running loop, does it"


def _as_shown(order: Order, plan: Plan, intent: Intent) -> Intent:
    """The intent with the destination that was shown, so that the loop chooses no other."""
    move = next((step for step in plan.steps if step.kind == "migrate-vm"), None)
    if move is None:
        return intent
    uuid = move.args["destination"]
    host = next((name for name, one in order.desired.hosts.items() if one.uuid == uuid), None)
    return replace(intent, host=host)


async def _hand_over(order: Order, store: Store, intent: Intent) -> int:
    """Leaves the intent for the process that holds the store, and waits for what comes of it."""
    store.requests.leave(order.desired.data_center.uuid, order.vm.meta.id, intent)
    now = asyncio.get_running_loop().time
    began_s, state, told = now(), "waiting", ""
    while state not in ENDED:
        await asyncio.sleep(POLL_S)
        found = store.requests.find(intent.id)
        assert found is not None
        if found.state == "taken" and not order.wait:
            break
        if found.state == "waiting" and now() - began_s > TAKEN_UP_S:
            _refuse_waiting(store, found)
        if found.detail and found.detail != told and found.state == "waiting":
            told = found.detail
            typer.echo(f"it waits: {told}", err=True)
            if not order.wait:
                break
        if found.state != state and found.state == "taken":
            typer.echo("the running loop has taken it up", err=True)
        state = found.state
    return _end_of_intent(order, store, intent)


def _refuse_waiting(store: Store, request: Request) -> None:
    """Takes an intent back that nobody has taken up; one that a loop has put off may wait, as long as that lives."""
    why = "another process applies plans with this store and takes up no intents; wait for its end, or end it with `ostler cancel`"
    if request.detail:
        try:
            with store.exclusive("ostler vm"):
                why = "the loop that had put it off has ended; ask again"
        except StoreHeldError:
            return
    store.requests.answer(request.intent.id, "refused", "nobody took it up")
    raise CommandError(f"refused: {why}", Status.REFUSED)


def _end_of_intent(order: Order, store: Store, intent: Intent) -> int:
    """What came of an intent that was handed over, as text and exit status."""
    found = store.requests.find(intent.id)
    assert found is not None
    if found.state in ("refused", "failed"):
        status = Status.REFUSED if found.state == "refused" else Status.FAILED
        raise CommandError(f"{found.state}: {order.vm.meta.id}: {found.detail}", status)
    typer.echo(_ending(order), err=True)
    return Status.DONE
