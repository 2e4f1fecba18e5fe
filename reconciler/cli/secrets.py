"""Secrets by reference `NAME/KEY`: files of a directory, or systemd credentials. Values are never shown."""

import os
import re
from pathlib import Path

from reconciler.execution.orders import Secrets, SecretUnavailableError

PART = re.compile(r"[A-Za-z0-9._-]+")
LARGEST_BYTES = 64 * 1024


def secrets_from(directory: Path | None) -> Secrets:
    """Reads secrets from `directory`, else from systemd's $CREDENTIALS_DIRECTORY (files named NAME.KEY)."""
    credentials = os.environ.get("CREDENTIALS_DIRECTORY")

    def read(reference: str) -> str:
        name, _, key = reference.partition("/")
        if not PART.fullmatch(name) or not PART.fullmatch(key) or {name, key} & {".", ".."}:
            raise SecretUnavailableError(f"{reference!r} is no secret's name; write NAME/KEY")
        if directory is None and credentials is None:
            raise SecretUnavailableError(
                f"no source of secrets is set up, and {reference} is needed; say --secrets DIR"
            )
        path = directory / name / key if directory else Path(str(credentials)) / f"{name}.{key}"
        try:
            with path.open("rb") as file:
                return file.read(LARGEST_BYTES).decode().removesuffix("\n")
        except (OSError, UnicodeDecodeError) as error:
            raise SecretUnavailableError(f"secret {reference} cannot be read from {path}: {error}") from error

    return read
