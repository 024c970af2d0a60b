"""`SharedPermits`: how processes divide what a service grants to all of them together."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

__all__ = ["Demand", "SharedPermits"]


@dataclass(frozen=True, slots=True)
class Demand:
    """What one process has of a tenant's permits, and what it could use."""

    held: int
    """The most that it will hold until it gets the answer: what is in use, or set aside for use."""

    wanted: int
    """How many it could use, `held` included; 0: it sends nothing more for now."""


class SharedPermits(Protocol):
    """The permits of tenants, shared by processes.

    A permit is a right to send, which is used again and again; a tenant has `limit` of them. Each process has
    a cap of them, and the caps of one tenant never add up to more than the limit.

    The laws:

    1. Of a tenant, the sum of what is recorded for all processes never exceeds `limit`, whatever is asked, in
       whatever order, and whoever dies.
    2. The cap in an answer is at most what is recorded for that process. Until its next call the process
       holds at most the greater of that cap and of the `held` that it gave, and that much is recorded, as far
       as law 1 allows (it may not, after the record was lost).
    3. Where more is wanted than there is, the cap is at most a fair share: the same for all, but for what
       others do not want. A process that is above it gets a cap below its `held`, and gives back as its
       permits come free.
    4. A process that does not call for 10 s has nothing any more; and after 2 s, if it wanted nothing in its
       last call (it has ended, and what it held comes free by itself).
    """

    async def exchange(self, process: str, demands: Mapping[str, Demand], *, limit: int) -> Mapping[str, int]:
        """Give back and take: the new cap of each tenant in `demands`, in one step for all of them.

        `process` names the caller, uniquely. Raises OSError (ConnectionError, TimeoutError) or an error of
        the store if it cannot be reached: then the caller keeps what it has, at most the `held` that it gave.
        """
        ...
