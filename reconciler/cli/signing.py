"""The authorities as a signer of host certificates, where this installation has them."""

from reconciler.cli.home import find_home
from reconciler.execution.orders import SecretUnavailableError
from reconciler.execution.renewals import Signer
from reconciler.model.desired import Host
from reconciler.model.names import name_of
from reconciler.pki.authority import load_authorities
from reconciler.pki.errors import PkiError


def can_sign() -> bool:
    """Whether the authorities are here."""
    return find_home().authorities.is_dir()


def find_signer() -> Signer | None:
    """What renews certificates of hosts; None where the authorities are not."""
    if not can_sign():
        return None
    directory = find_home().authorities

    def sign(present: str, host: Host) -> str:
        try:
            authorities = load_authorities(directory)
            return authorities.renew_agent(
                present, name_of(host.meta.id), host.uuid, [host.address]
            ).certificate_pem
        except PkiError as error:
            raise SecretUnavailableError(
                f"the certificate of {host.meta.id} is not renewed: {error}"
            ) from error

    return sign
