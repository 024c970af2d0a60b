"""`Leases`: who may do a thing now, held for seconds and renewed by a heartbeat, with a fencing token."""

from dataclasses import dataclass
from typing import Protocol

__all__ = ["Lease", "Leases"]


@dataclass(frozen=True, slots=True)
class Lease:
    """The right of `owner` to do what `name` stands for.

    It lasts for `seconds` after it was acquired or last renewed, by the backend's clock. A holder counts them
    from the moment **before** it asked, so that it never takes a lease for longer than it is.
    """

    name: str
    owner: str
    token: int
    """The fencing token: greater than that of every earlier holder. Hand it to whatever the lease protects,
    so that this can refuse a holder that is behind."""
    seconds: float


class Leases(Protocol):
    """The laws, which `cadenza.testing.contracts` checks:

    - At every moment at most one owner holds a name.
    - The tokens of a name grow with every acquisition, also after a release and after an expiry.
    - A lease ends by `release`, or `seconds` after it was acquired or last renewed; not earlier.
    - To acquire what one holds already is no error: it is renewed, and the token stays the same.

    Every method raises `StateUnavailableError` where the backend cannot be reached.
    """

    async def acquire(self, name: str, owner: str, seconds: float) -> Lease | None:
        """Take the lease; None while another holds it. `owner` names one holder, such as a process."""
        ...

    async def renew(self, lease: Lease) -> bool:
        """Keep it for `lease.seconds` from now; False if it is not held any more: then stop."""
        ...

    async def release(self, lease: Lease) -> None:
        """Give it back. Does nothing if it is not held any more."""
        ...
