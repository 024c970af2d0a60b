"""`CallIds`: one id, one call, within a run."""

from __future__ import annotations

__all__ = ["CallIds"]


class CallIds:
    """Gives each tool call of a run an id of its own, whatever its provider does.

    Within a turn, an id that comes again is the same call: the event and the reply speak of it both. Calls
    without an id are told apart by their place. An id of an earlier turn gets the number of the new one:
    some servers count from the start in each turn, and there it is another call: to look again how far a
    job has come, for instance.
    """

    def __init__(self) -> None:
        self._turn = 0
        self._earlier: set[str] = set()
        self._here: dict[str, str] = {}

    def begin(self, turn: int) -> None:
        """A turn begins."""
        self._earlier.update(self._here.values())
        self._here = {}
        self._turn = turn

    def of(self, id: str, place: int) -> str:
        """The id of the call that its provider calls `id`, the one at `place` among those without an id."""
        key = id or f"\0{place}"
        known = self._here.get(key)
        if known is None:
            known = id if id and id not in self._earlier else f"{id or 'call'}~{self._turn}"
            if not id:
                known = f"{known}.{place}"
            while known in self._earlier:
                known += "~"
            self._here[key] = known
        return known
