"""Manifests as text, loaded the whole way: what the tests of schemas, references and limits share."""

import io
from collections.abc import Callable
from dataclasses import dataclass
from textwrap import dedent

import pytest

from reconciler.desired.build import build_desired
from reconciler.desired.read import read_paths
from reconciler.model.desired import Desired
from reconciler.problems import Problem

BASE = """\
apiVersion: ostler.dev/v1alpha1
kind: DataCenter
metadata: {name: farm}
spec: {uuid: 0b5c6a1e-7d3f-4c55-9e0a-3f1f6d2b8c47}
---
apiVersion: ostler.dev/v1alpha1
kind: Cluster
metadata: {name: main}
spec: {dataCenter: farm, networks: [vms]}
---
apiVersion: ostler.dev/v1alpha1
kind: LogicalNetwork
metadata: {name: vms}
spec: {dataCenter: farm}
---
apiVersion: ostler.dev/v1alpha1
kind: StorageDomain
metadata: {name: shared}
spec: {dataCenter: farm, type: posixfs, path: /srv/shared, vfsType: none, mountOptions: bind}
---
apiVersion: ostler.dev/v1alpha1
kind: Host
metadata: {name: h1}
spec: {cluster: main, address: 192.0.2.11}
---
apiVersion: ostler.dev/v1alpha1
kind: Disk
metadata: {name: web-1-root}
spec: {storageDomain: shared, size: 1Gi}
---
"""


@dataclass(frozen=True)
class Loaded:
    desired: dict[str, Desired]
    problems: tuple[Problem, ...]

    @property
    def farm(self) -> Desired:
        return self.desired["dc/farm"]

    @property
    def said(self) -> list[str]:
        """Problems as `LINE:COLUMN OBJECT FIELD: SUMMARY; DETAIL`."""
        return [
            f"{p.where.line}:{p.where.column} {p.object} {p.field}: {p.summary}; {p.detail}"
            for p in self.problems
            if p.where
        ]

    @property
    def summaries(self) -> list[str]:
        return [problem.summary for problem in self.problems]


def load_text(*texts: str) -> Loaded:
    manifests = read_paths(["-"], io.BytesIO("\n---\n".join(texts).encode()))
    assert not manifests.problems
    desired, problems = build_desired(manifests.documents)
    return Loaded(dict(desired), problems)


@pytest.fixture
def load() -> Callable[..., Loaded]:
    """Loads texts alone."""
    return load_text


@pytest.fixture
def load_farm() -> Callable[..., Loaded]:
    """Loads texts beside a data center farm, cluster main, host h1, network vms, storage shared, disk web-1-root."""
    return lambda *texts: load_text(BASE, *texts)


def manifest(kind: str, name: str, spec: str, metadata: str = "") -> str:
    """A manifest whose spec is written as the lines of a mapping."""
    lines = "\n".join(f"  {line}" for line in dedent(spec).strip().splitlines())
    extra = "\n".join(f"  {line}" for line in dedent(metadata).strip().splitlines())
    head = f"apiVersion: ostler.dev/v1alpha1\nkind: {kind}\nmetadata:\n  name: {name}\n"
    return f"{head}{extra + chr(10) if extra else ''}spec:\n{lines}\n"


@pytest.fixture
def vm() -> Callable[..., str]:
    """A VM of cluster main with 256Mi, and whatever lines are given."""

    def write(spec: str = "", name: str = "web-1", metadata: str = "") -> str:
        memory = (
            ""
            if "memory:" in spec.replace("guaranteedMemory", "").replace("maxMemory", "")
            else "memory: 256Mi\n"
        )
        return manifest("VirtualMachine", name, f"cluster: main\n{memory}{dedent(spec).strip()}", metadata)

    return write


@pytest.fixture
def thing() -> Callable[..., str]:
    """Any manifest: kind, name, lines of its spec, lines of its metadata."""
    return manifest
