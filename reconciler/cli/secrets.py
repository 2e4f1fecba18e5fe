"""Secrets by reference `NAME/KEY`: files of a directory, or systemd credentials. Values are never shown."""

import os
import re
from pathlib import Path
from typing import Annotated

import typer

from reconciler.cli.home import find_home
from reconciler.execution.orders import Secrets, SecretUnavailableError, digest_secrets
from reconciler.model.desired import Desired
from reconciler.pki.export import ControllerFiles

PART = re.compile(r"[A-Za-z0-9._-]+")
LARGEST_BYTES = 64 * 1024
SecretsOption = Annotated[
    Path | None, typer.Option("--secrets", help="Directory with one file a secret: NAME/KEY.")
]


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


def digests_here(desired: Desired, directory: Path | None) -> dict[str, str]:
    """HMACs by reference of the secrets that can be read here; none where the data center's digest key is not."""
    path = ControllerFiles(find_home().controller).digest_key
    try:
        key = path.read_bytes()
    except OSError:
        return {}
    return digest_secrets(desired, secrets_from(directory), key)
