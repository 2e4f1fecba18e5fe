"""The agent's own version, as its package has it."""

from importlib.metadata import PackageNotFoundError, version


def _read() -> str:
    try:
        return version("ostler")
    except PackageNotFoundError:
        return "0+unpackaged"


AGENT_VERSION = _read()
