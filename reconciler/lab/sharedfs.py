"""The small library that tells libvirtd of a lab host which directory is shared; built once into the cache.

`lifecycle` puts it beside the guest image. Why it is needed stands in sharedfs.c.
"""

import hashlib
import shutil
import tempfile
from importlib.resources import files
from pathlib import Path

from reconciler.lab.commands import run_checked
from reconciler.lab.errors import fail


def build_shared_library(cache: Path) -> Path:
    """The library's file, compiled unless the cache has it; refuses a machine without a C compiler."""
    source = (files("reconciler.lab") / "sharedfs.c").read_bytes()
    library = cache / f"sharedfs-{hashlib.sha256(source).hexdigest()[:16]}.so"
    if library.exists():
        return library
    compiler = shutil.which("cc") or shutil.which("gcc")
    if compiler is None:
        raise fail("no C compiler", "install gcc and libc6-dev: the lab builds a small library for libvirt")
    cache.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=cache, prefix=".sharedfs-") as staging:
        path = Path(staging) / "sharedfs.c"
        path.write_bytes(source)
        run_checked([compiler, "-shared", "-fPIC", "-O2", "-o", f"{staging}/built.so", str(path)])
        (Path(staging) / "built.so").rename(library)
    return library
