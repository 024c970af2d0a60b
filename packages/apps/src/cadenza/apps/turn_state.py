"""`ctx.state`: what a bot remembers of a conversation, a user and a tenant, from one turn to the next.

Loaded when the turn's time has come, so that it holds what the turn before has written, and saved when its
handlers are done, by compare-and-set. Where somebody else has written meanwhile (an invoke beside the lane,
another conversation of the same user), the save is tried again on what is there now: names that only one of
the two has changed are merged; a name that both have changed to different values raises `StateConflictError`,
and nothing of that scope is written.

    the handlers ...                          then the state is
    return, or the turn is cut off            saved
    raise                                     not saved: what they had done by `await ctx.state.save()` stays
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, MutableMapping
from typing import TYPE_CHECKING, Any, TypeVar

import pydantic
from cadenza.api import CadenzaError
from cadenza.api.telemetry import APPS
from cadenza.api.telemetry.names import Span
from cadenza.state import ConflictError, Item, StateUnavailableError, Store

if TYPE_CHECKING:
    from cadenza.api import Activity

__all__ = [
    "StateConflictError",
    "StateDataError",
    "TurnState",
    "TurnStateContainer",
    "TurnStateSealedError",
]

MOST_TRIES = 8
"""How often a save is tried before others' writes are taken for endless. Ours."""

ModelT = TypeVar("ModelT", bound="pydantic.BaseModel")

_ABSENT = object()


class TurnStateSealedError(CadenzaError, RuntimeError):
    """The turn is over: its state was saved, and what is changed now would be lost."""


class StateConflictError(CadenzaError):
    """Another turn has written another value under the same name meanwhile. Nothing of the scope was
    written."""

    def __init__(self, scope: str, names: list[str]) -> None:
        super().__init__(
            f"The state of the {scope} was not saved: {', '.join(map(repr, names))} was changed to different "
            "values by this turn and by another one at the same time. Keep what two turns change under "
            "different names."
        )
        self.scope = scope
        self.names = names


class StateDataError(CadenzaError, ValueError):
    """What is stored, or is to be stored, does not fit: no JSON, or not what the model says."""


class TurnState(MutableMapping[str, Any]):
    """One scope: JSON values by name, as a mapping.

        ctx.state.conversation["questions"] = ctx.state.conversation.get("questions", 0) + 1

    or as pydantic models, each under a name (that of its class, unless you give one):

        profile = ctx.state.user.model(Profile)
        profile.language = "de"

    A value that is changed in place is saved as well. After the turn every use raises
    `TurnStateSealedError`. A scope that the activity has not (a user, where nobody sent it) raises
    LookupError when it is used.
    """

    def __init__(self, scope: str, key: str | None, item: Item | None) -> None:
        self.scope = scope
        self._key = key
        self._version = 0 if item is None else item.version
        self._values = {} if item is None else _decode(scope, item.value)
        self._saved = _texts(self._values)
        """By name: the JSON of what is stored, as far as this turn knows."""
        self._models: dict[str, pydantic.BaseModel] = {}
        self._sealed = False

    def model(self, kind: type[ModelT], name: str | None = None) -> ModelT:
        """The value `name` as a `kind`; a new one, by its defaults, where there is none. The same object for
        the whole turn; what it holds at the end is saved.

        Raises `StateDataError` if what is stored does not fit the model.
        """
        values = self._open()
        name = kind.__name__ if name is None else name
        known = self._models.get(name)
        if known is not None:
            if isinstance(known, kind):
                return known
            raise StateDataError(
                f"The {self.scope} state {name!r} is a {type(known).__name__} in this turn already, and "
                f"cannot be a {kind.__name__}, too. Give one of the two another name."
            )
        try:
            model = kind.model_validate(values.get(name, {}))
        except pydantic.ValidationError as error:
            raise StateDataError(
                f"The {self.scope} state {name!r} is no {kind.__name__}: {error}. Give new fields a default, "
                "or delete the old value."
            ) from error
        self._models[name] = model
        return model

    def __getitem__(self, name: str) -> Any:
        return self._open()[name]

    def __setitem__(self, name: str, value: Any) -> None:
        if not isinstance(name, str):
            raise TypeError(f"The name of a value in the {self.scope} state must be a str, not {name!r}.")
        self._open()[name] = value
        self._models.pop(name, None)
        if isinstance(value, pydantic.BaseModel):
            self._models[name] = value

    def __delitem__(self, name: str) -> None:
        values, model = self._open(), self._models.pop(name, None)
        if model is None or name in values:
            del values[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._open())

    def __len__(self) -> int:
        return len(self._open())

    def __contains__(self, name: object) -> bool:
        return name in self._open()

    def __repr__(self) -> str:
        return f"<TurnState of the {self.scope}>"  # without the values: they are people's

    # For the container

    def seal(self) -> None:
        self._sealed = True

    async def save(self, store: Store) -> None:
        """Write what has changed. Does nothing if nothing has."""
        changes = self._changes()
        if self._key is None or not changes:
            return
        theirs = self._saved
        for _ in range(MOST_TRIES):
            merged = {**theirs, **changes}
            document = {name: text for name, text in merged.items() if text is not None}
            try:
                if document:
                    self._version = await store.put(self._key, _encode(document), expected=self._version)
                else:
                    await store.delete(self._key, expected=self._version)
                    self._version = 0
            except (ConflictError, StateUnavailableError):
                # The latter, too, may mean that somebody has written meanwhile: or it was this very save.
                item = await store.get(self._key)
                self._version = 0 if item is None else item.version
                theirs = {} if item is None else _texts(_decode(self.scope, item.value))
                clashes = [
                    name
                    for name, text in changes.items()
                    if theirs.get(name) != self._saved.get(name) and theirs.get(name) != text
                ]
                if clashes:
                    raise StateConflictError(self.scope, clashes) from None
            else:
                self._saved = document
                return
        raise StateConflictError(self.scope, list(changes))

    def forget(self) -> None:
        """What is stored was deleted."""
        self._version, self._saved = 0, {}
        self._values.clear()
        self._models.clear()

    def _open(self) -> dict[str, Any]:
        if self._sealed:
            raise TurnStateSealedError(
                f"The {self.scope} state was used after its turn was over. Use it within the turn, or keep "
                "what you need of it in a variable."
            )
        if self._key is None:
            raise LookupError(f"This activity comes without a {self.scope}, so there is no state of it.")
        return self._values

    def _changes(self) -> dict[str, Any]:
        """By name: the JSON of what this turn has changed; None for what it has deleted."""
        for name, model in self._models.items():
            if name in self._values or model.model_fields_set or model != type(model).model_construct():
                self._values[name] = model
        now = _texts(self._values)
        changes: dict[str, Any] = {name: text for name, text in now.items() if text != self._saved.get(name)}
        changes.update({name: None for name in self._saved if name not in now})
        return changes


class TurnStateContainer:
    """The scopes of one turn: `conversation`, `user` (in all conversations with the bot), `tenant`."""

    def __init__(self, store: Store, activity: Activity) -> None:
        self._store = store
        self._keys = _keys(activity)
        self._items: dict[str, Item] = {}
        self._scopes: dict[str, TurnState] = {}
        self._sealed = False

    @property
    def conversation(self) -> TurnState:
        return self._scope("conversation")

    @property
    def user(self) -> TurnState:
        return self._scope("user")

    @property
    def tenant(self) -> TurnState:
        return self._scope("tenant")

    async def load(self) -> None:
        """Read all scopes. For the App; raises what the store raises."""
        with APPS.span(Span.STATE_LOAD):
            self._items = await self._store.get_many(self._keys.values())

    async def save(self) -> None:
        """Save now what has changed so far; what changes afterwards is saved at the end of the turn.

        Raises `StateConflictError`, `StateDataError` for a value that JSON cannot hold, and what the store
        raises; then nothing of that scope was written.
        """
        if not self._scopes:
            return
        with APPS.span(Span.STATE_SAVE):
            for scope in self._scopes.values():
                await scope.save(self._store)

    async def delete(self) -> None:
        """Forget the conversation and the user at once, whoever has written them; the tenant stays."""
        with APPS.span(Span.STATE_DELETE):
            for name in ("conversation", "user"):
                if name in self._keys:
                    await self._store.delete(self._keys[name])
                    self._items.pop(self._keys[name], None)
                    self._scope(name).forget()

    def seal(self) -> None:
        """Let nobody use them any more. For the App."""
        self._sealed = True
        for scope in self._scopes.values():
            scope.seal()

    def _scope(self, name: str) -> TurnState:
        scope = self._scopes.get(name)
        if scope is None:
            key = self._keys.get(name)
            scope = self._scopes[name] = TurnState(name, key, self._items.get(key or ""))
            if self._sealed:
                scope.seal()
        return scope


def _keys(activity: Activity) -> dict[str, str]:
    """Where the scopes of an activity are stored; those that it has not are absent."""
    channel, sender, tenant = activity.channel_id or "msteams", activity.from_, activity.tenant
    ids = {
        "conversation": activity.conversation.id,
        "user": (sender.aad_object_id or sender.id) if sender is not None else None,
        "tenant": (tenant.id if tenant is not None else None) or activity.conversation.tenant_id,
    }
    return {scope: f"state/{scope}/{channel}/{id_}" for scope, id_ in ids.items() if id_}


def _decode(scope: str, raw: bytes) -> dict[str, Any]:
    try:
        values = json.loads(raw)
    except ValueError as error:
        raise StateDataError(f"The {scope} state in the store is no JSON: {error}.") from error
    if not isinstance(values, dict):
        raise StateDataError(f"The {scope} state in the store is no JSON object.")
    return values


def _texts(values: Mapping[str, Any]) -> dict[str, str]:
    """Each value as JSON, by which two of them are compared."""
    return {name: _text(name, value) for name, value in values.items()}


def _text(name: str, value: Any) -> str:
    try:
        return json.dumps(value, allow_nan=False, default=_plain)
    except (TypeError, ValueError) as error:
        raise StateDataError(f"The state {name!r} cannot be saved: {error}.") from error


def _plain(value: object) -> object:
    if isinstance(value, pydantic.BaseModel):
        return value.model_dump(mode="json", by_alias=True)
    raise TypeError(f"JSON has no value such as {value!r} of type {type(value).__name__}")


def _encode(document: Mapping[str, str]) -> bytes:
    items = (f"{json.dumps(name)}:{text}" for name, text in document.items())
    return ("{" + ",".join(items) + "}").encode()
