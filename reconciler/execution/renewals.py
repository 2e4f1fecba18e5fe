"""New certificates for hosts, signed when their orders are sent: beside the secrets, and by the same way.

The host's own key is in the certificate that it shows; nothing secret leaves it, and nothing secret is sent.
"""

from collections.abc import Callable, Mapping

from nodeagent.wire.facts import HostState
from reconciler.execution.orders import Secrets, SecretUnavailableError
from reconciler.model.certificates import host_of_reference
from reconciler.model.desired import Desired, Host

Signer = Callable[[str, Host], str]
"""A new certificate (PEM) for the key of the one given (PEM) and a host. Raises SecretUnavailableError."""


def with_certificates(
    secrets: Secrets, signer: Signer | None, desired: Desired, states: Mapping[str, HostState]
) -> Secrets:
    """A source of secrets that also knows certificates. states: of the hosts that answered, by id."""

    def resolve(reference: str) -> str:
        name = host_of_reference(reference)
        if name is None:
            return secrets(reference)
        host, state = desired.hosts.get(name), states.get(name)
        if signer is None or host is None or state is None or state.certificate is None:
            raise SecretUnavailableError(
                f"the certificate of {name} cannot be renewed here; apply where `ostler pki init` was run"
            )
        return signer(state.certificate.pem, host)

    return resolve
