"""`Connections`: what an App knows of signing in, and which OAuth connection is meant where none is named.

the App has                    meant                             asked, if nobody was asked to sign in
a default_connection_name      that                              that, and all flows
one flow                       its connection                    that
several flows                  none: ValueError                  all flows
nothing                        "graph", as in the reference      that
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import TYPE_CHECKING

from .flow import OAuthFlowRegistry, key_of
from .pending import PendingSignIns, SignIns

if TYPE_CHECKING:
    from cadenza.api import ApiClient
    from msgraph import GraphServiceClient

    from ..graph import UserTokenSource

__all__ = ["Connections"]


class Connections:
    """What an App knows of signing in."""

    def __init__(
        self,
        flows: OAuthFlowRegistry,
        default: str | None,
        fallback: str,
        pending: PendingSignIns,
        *,
        api: Callable[[], ApiClient],
        new_graph: Callable[[UserTokenSource], GraphServiceClient],
        logger: logging.Logger,
    ) -> None:
        """`default`: the one that the App was given, if any; `fallback`: what is meant without flows. `api`
        gives a client that goes on working when a turn is over."""
        self.flows = flows
        self.pending = pending
        self.api = api
        self.new_graph = new_graph
        self._logger = logger
        self._default = default
        self._fallback = fallback

    @property
    def default(self) -> str | None:
        """The connection that is meant where none is named; None where that is not clear."""
        if self._default is not None:
            return self._default
        if len(self.flows) > 1:
            return None
        return next(iter(self.flows), self._fallback)

    def meant(self, name: str | None = None) -> str:
        """The connection `name`, as its flow spells it; None: the default one. Raises ValueError where that
        is not clear."""
        name = name or self.default
        if name is None:
            raise ValueError(
                f"No OAuth connection is named, and the bot has several flows ({self.listed}): use the one "
                "that you mean, as in `await flow.sign_in(ctx)`, or give the App a default_connection_name."
            )
        return self.flows.spelled(name)

    @property
    def listed(self) -> str:
        """The flows, for people."""
        return ", ".join(map(repr, self.flows))

    @property
    def known(self) -> list[str]:
        """Every connection that the App itself knows."""
        if self._default is not None:
            return [*self.flows, *([] if self._default in self.flows else [self._default])]
        return list(self.flows) or [self._fallback]

    def warn_of_state(self) -> None:
        """To be called where a `StateError` was caught: it keeps nobody from signing in."""
        self._logger.warning(
            "The pending sign-ins of a user cannot be reached: taken as if there were none.", exc_info=True
        )

    def candidates(self, sign_ins: SignIns) -> list[str]:
        """What a code may be for, the likeliest first."""
        names = sign_ins.all_names
        keys = {key_of(name) for name in names}
        return [*names, *(name for name in self.known if key_of(name) not in keys)]

    def concerns(self, name: str, sign_ins: SignIns) -> bool:
        """Whether it is a connection that this bot signs in to."""
        return key_of(name) in map(key_of, self.candidates(sign_ins))
