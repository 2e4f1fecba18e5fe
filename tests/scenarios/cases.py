"""Case folders: README.md, observed.yaml, desired.yaml -> plan.txt and plan.json, or problems.txt.

observed.yaml:
  with: [center, h1, web-1]   base files; an object of desired.yaml or before.yaml replaces the one of its name
  example: quickstart         manifests of examples/manifests in place of desired.yaml; `before` likewise for before.yaml
  start: empty | converged    bare hosts, or (the default) the world after applying before.yaml, else the base files
  hosts: {h1: {memory: 4Gi}}  capabilities that differ: memory, cores, threads, cpuModels, machines,
                              haltsToMigrate
  then: [power-off host/h2]   events, see `events`; `apply FILE` carries out the plan of another manifest of the case
  allow-prune: 3
  outdated: {vm/web-1: host/h1}  objects whose last result the facts of that host do not show yet
  require: n+1                what `plan --require` asks besides
  signs: true                 the authorities are here
  secrets: {consoles/web-1: 2f}  HMACs of the secrets that can be read; without it secrets are not looked at
  passes: 2                   plans until nothing is left to do, where a fact must come first; usually 1
"""

import json
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import msgspec
import yaml

from nodeagent.wire.facts import HostCapabilities
from reconciler.model.desired import Desired
from reconciler.model.observed import OutdatedFacts
from reconciler.model.options import PassOptions
from reconciler.model.placement import Shortfall
from reconciler.model.plan import Plan, Step
from reconciler.model.quantities import parse_bytes
from reconciler.pipeline import Pass
from reconciler.placement.spare import find_shortfalls
from reconciler.planfile.text import render_text
from reconciler.planfile.unmet import unmet_lines
from tests.scenarios.events import befall
from tests.scenarios.manifests import CaseError, read_desired
from tests.scenarios.stage import CAPABILITIES, Stage, make_stage

ROOT = Path(__file__).parent
EXAMPLES = ROOT.parents[1] / "examples" / "manifests"
KEYS = {
    "with",
    "example",
    "before",
    "start",
    "hosts",
    "then",
    "allow-prune",
    "outdated",
    "passes",
    "require",
    "signs",
    "secrets",
}
VOLATILE = {"manifest_digest", "last_order", "generation"}
"""What changes with every release or run and says nothing about the plan."""
EMPTY: tuple[Any, ...] = (None, "", [], {})


@dataclass(frozen=True, slots=True)
class Case:
    """One folder. description: README's first line."""

    name: str
    folder: Path
    observed: dict[str, Any]

    @property
    def bases(self) -> list[str]:
        """Names of the base files."""
        return list(self.observed.get("with", ()))

    def manifests(self, file: str) -> Path:
        """Where the manifests of desired.yaml or before.yaml stand: beside the case, or among the examples."""
        key = {"desired.yaml": "example", "before.yaml": "before"}.get(file, "")
        return EXAMPLES / self.observed[key] if key in self.observed else self.folder / file

    @property
    def options(self) -> PassOptions:
        """What the person at the keyboard allows."""
        outdated = {
            name: OutdatedFacts(host, 7, 8) for name, host in self.observed.get("outdated", {}).items()
        }
        return PassOptions(
            allow_prune=self.observed.get("allow-prune", 0),
            outdated=outdated,
            signs=self.observed.get("signs", False),
            secret_digests=self.observed.get("secrets"),
        )


@dataclass(frozen=True, slots=True)
class Result:
    """What a case leads to: files by name, and the world and pass behind them (none if the manifests are refused)."""

    files: dict[str, str]
    stage: Stage | None = None
    done: Pass | None = None
    desired: Desired | None = None
    readme: str = field(default="")


def all_cases() -> list[str]:
    """Every case as `topic/case`, sorted."""
    found = {path.parent for path in ROOT.glob("*/*/*") if path.is_file()}
    return sorted(str(path.relative_to(ROOT)) for path in found if path.parent.name != "__pycache__")


def load_case(name: str) -> Case:
    """A case by name. Raises CaseError if it has no observed.yaml, or one with unknown keys."""
    folder = ROOT / name
    source = folder / "observed.yaml"
    if not source.exists():
        raise CaseError(f"{name} has no observed.yaml")
    observed = yaml.safe_load(source.read_text()) or {}
    if strange := set(observed) - KEYS:
        raise CaseError(f"{name}: unknown keys {sorted(strange)} in observed.yaml")
    return Case(name, folder, observed)


def run_case(name: str) -> Result:
    """Sets the scene, makes the plan, and writes it down as the golden files would have it."""
    case = load_case(name)
    desired, problems = read_desired(case.bases, case.manifests("desired.yaml"))
    if desired is None:
        return Result({"problems.txt": "".join(f"{_portable(str(one))}\n" for one in problems)})
    stage = _set_scene(case, desired)
    done = stage.plan(desired, case.options)
    unmet = unmet_lines(_shortfalls(done)) if "require" in case.observed else ()
    files = {"plan.txt": render_text(done.plan, unmet), "plan.json": render_json(done.plan)}
    return Result(files, stage, done, desired)


def _shortfalls(done: Pass) -> tuple[Shortfall, ...]:
    return find_shortfalls(done.desired, done.observed, done.identities, done.powers, done.placement)


def _portable(problem: str) -> str:
    """A problem without the folder in which this checkout lies."""
    return problem.replace(f"{ROOT}/", "").replace(f"{EXAMPLES}/", "")


def _set_scene(case: Case, desired: Desired) -> Stage:
    bare = case.observed.get("start", "converged") == "empty"
    before = desired if bare and not case.bases else _other(case, "before.yaml")
    everybody = replace(before, hosts=dict(sorted({**desired.hosts, **before.hosts}.items())))
    stage = make_stage(everybody, _capabilities(case))
    if not bare:
        stage.converge(before)
    for event in case.observed.get("then", ()):
        if event.startswith("apply "):
            stage.converge(_other(case, event.removeprefix("apply ")), PassOptions(allow_prune=99))
        else:
            befall(stage, everybody, event)
    return stage


def _other(case: Case, file: str) -> Desired:
    """What another manifest file of the case declares over the base files."""
    if file != "before.yaml" and not (case.folder / file).exists():
        raise CaseError(f"{case.name} has no {file}")
    desired, problems = read_desired(case.bases, case.manifests(file))
    if desired is None:
        raise CaseError(f"{case.name}: {file} has problems: {[str(one) for one in problems]}")
    return desired


def _capabilities(case: Case) -> dict[str, HostCapabilities]:
    return {f"host/{name}": _host(given) for name, given in case.observed.get("hosts", {}).items()}


def _host(given: dict[str, Any]) -> HostCapabilities:
    fields: dict[str, Callable[[Any], dict[str, Any]]] = {
        "memory": lambda value: {"memory_bytes": parse_bytes(value)},
        "cores": lambda value: {"cores": value},
        "threads": lambda value: {"threads": value},
        "cpuModels": lambda value: {"cpu_models": tuple(value)},
        "haltsToMigrate": lambda value: {"halts_to_migrate": value},
        "machines": lambda value: {"machines": tuple(value), "default_machine": value[-1]},
    }
    found: dict[str, Any] = {}
    for key, value in given.items():
        found |= fields[key](value)
    return replace(CAPABILITIES, **found)


def render_json(plan: Plan) -> str:
    """What machines rely on, one step a line: without texts (they are in plan.txt), defaults, counters and digests."""
    body: dict[str, Any] = {"limits": plan.limits} if plan.limits else {}
    lines = [
        f'  "steps": [{"".join(f"{chr(10)}    {_json(_step(one))}," for one in plan.steps).rstrip(",")}\n  ]'
    ]
    lines += [f'  "limits": {_json(body["limits"])}'] if body else []
    for name in ("blocked", "deferred"):
        found = [_plain(one) for one in getattr(plan, name)]
        lines += [f'  "{name}": {_json([one["object"] for one in found])}'] if found else []
    return "{\n" + ",\n".join(lines) + "\n}\n"


def _json(value: Any) -> str:
    return json.dumps(value, sort_keys=True, ensure_ascii=False)


def _plain(value: Any) -> Any:
    return msgspec.to_builtins(value)


def _step(step: Step) -> dict[str, Any]:
    """A step without what plan.txt says, and without what has its usual value."""
    bare = _plain(Step(id="", kind="", object="", host="", summary="", args={}, because=()))
    texts = ("summary", "because", "estimate", "timeout_ms", "object")
    full = {key: value for key, value in _plain(step).items() if key not in texts and value != bare[key]}
    full["after"] = [f"{edge.step} {edge.rule}" for edge in step.after]
    return _without_volatile({key: value for key, value in full.items() if value})


def _without_volatile(value: Any) -> Any:
    """The value without what is volatile or says nothing; `format` is dropped only as the contract's version."""
    if isinstance(value, dict):
        kept = {key: _without_volatile(one) for key, one in value.items() if key not in VOLATILE}
        return {key: one for key, one in kept.items() if one not in EMPTY and not _is_version(one)}
    if isinstance(value, list | tuple):
        return [_without_volatile(one) for one in value]
    return value


def _is_version(value: Any) -> bool:
    return isinstance(value, dict) and value.keys() <= {"major", "minor"}
