"""Filters: which activities of its kind a handler is for.

    @app.on_message(text("hi", "hello", ignore_case=True))
    @app.on_message(text(re.compile(r"order (\\d+)")))            # the handler may ask for the `re.Match`
    @app.on_message(command("help") & scope("personal"))         # ... and for the `Command`
    @app.on_message(mention | scope("personal"))
    @app.on_activity(~where(lambda activity: activity.from_.role == "bot"))

They are joined by `&`, `|` and `~`, on whose right any predicate of the activity may stand; `where` makes a
filter of one. Several filters in one decorator must all fit. A filter waits for nothing and changes nothing.
One that raises is an error of the turn, as if the handler had raised.

Where a filter looks at the text of an activity, it is the text without the mention of the bot and the quotes
that begin it, and without the white space around it: in a channel every message to the bot begins with its
name. Mentions of others stay (api-surface.md 3.3 P17). What has no text fits no filter of texts, which
decorators of such activities refuse.
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

from cadenza.api.models.quote_mark import QUOTE_MARK

__all__ = ["Command", "Condition", "Filter", "Scope", "command", "mention", "scope", "text", "where"]

Found: TypeAlias = tuple[object, ...]
"""What a filter that fits has found in the activity."""

Find: TypeAlias = Callable[[Any], Found | None]
"""None for an activity that does not fit."""

Scope: TypeAlias = Literal["personal", "groupChat", "channel", "team"]

_NOTHING: Found = ()

WITH_TEXT = frozenset({"message", "messageUpdate", "typing", "endOfConversation"})
"""The types of activities that may have a text, and mentions in it."""


class Filter:
    """A condition on an activity."""

    def __init__(
        self,
        find: Find,
        name: str,
        finds: frozenset[type] = frozenset(),
        types: frozenset[str] | None = None,
    ) -> None:
        self.find = find
        """What is found in an activity; None if it does not fit."""
        self.finds = finds
        """The types of what may be found: a handler may ask for them."""
        self.types = types
        """The types of activities that may fit: no other ever does. None: of any type."""
        self._name = name

    def fits(self, activity: Any) -> bool:
        """Whether the activity is one of those."""
        return self.find(activity) is not None

    def __and__(self, other: Condition) -> Filter:
        return all_of(self, as_filter(other))

    def __rand__(self, other: Condition) -> Filter:
        return all_of(as_filter(other), self)

    def __or__(self, other: Condition) -> Filter:
        return _either(self, as_filter(other))

    def __ror__(self, other: Condition) -> Filter:
        return _either(as_filter(other), self)

    def __invert__(self) -> Filter:
        find = self.find
        return Filter(lambda activity: _NOTHING if find(activity) is None else None, f"~{self._name}")

    def __bool__(self) -> bool:
        raise TypeError(
            f"{self._name} is neither true nor false: join filters by & | ~, not by and, or, not."
        )

    def __repr__(self) -> str:
        return self._name


Condition: TypeAlias = Filter | Callable[[Any], object]
"""A filter, or a predicate of the activity."""


def where(predicate: Callable[[Any], object]) -> Filter:
    """Activities for which `predicate(activity)` is true. Raises TypeError for a coroutine function."""
    if isinstance(predicate, Filter) or not callable(predicate):
        raise TypeError(f"where takes a function that is called with the activity, not {predicate!r}.")
    if inspect.iscoroutinefunction(predicate) or inspect.iscoroutinefunction(
        getattr(predicate, "__call__", None)  # noqa: B004 - not whether it can be called, but how
    ):
        raise TypeError(f"where takes a plain function: a filter cannot wait, as {predicate!r} would.")
    name = getattr(predicate, "__name__", None) or repr(predicate)
    return Filter(lambda activity: _NOTHING if predicate(activity) else None, f"where({name})")


def text(*patterns: str | re.Pattern[str], ignore_case: bool = False) -> Filter:
    """Activities whose text is one of `patterns` (a str: the whole text), or begins with a match of one (a
    compiled regex, by `match`), whose `re.Match` the handler may ask for.

    `ignore_case` is for the strings: a regex has its own flags. Raises TypeError without a pattern, or for
    what is none.
    """
    if not patterns:
        raise TypeError('text takes at least one text or compiled regex: text("hi").')
    for pattern in patterns:
        check_pattern(pattern, "text takes texts and compiled regexes")
    regexes = [pattern for pattern in patterns if isinstance(pattern, re.Pattern)]
    exact = {pattern.strip() for pattern in patterns if isinstance(pattern, str)}
    if ignore_case:
        exact = {words.casefold() for words in exact}

    def find(activity: Any) -> Found | None:
        words = own_words(activity)
        if words is None:
            return None
        if (words.casefold() if ignore_case else words) in exact:
            return _NOTHING
        for regex in regexes:
            match = regex.match(words)
            if match is not None:
                return (match,)
        return None

    name = f"text({', '.join(_shown(pattern) for pattern in patterns)})"
    return Filter(find, name, frozenset({re.Match}) if regexes else frozenset(), WITH_TEXT)


def check_pattern(pattern: object, takes: str) -> None:
    """Raises TypeError for what can never be matched with a text; `takes` begins the sentence."""
    if isinstance(pattern, re.Pattern) and isinstance(pattern.pattern, bytes):
        raise TypeError(f"{takes}, not {pattern!r}, which matches bytes: leave out the b.")
    if not isinstance(pattern, str | re.Pattern):
        raise TypeError(f"{takes}, not {pattern!r}.")


def written(pattern: str | re.Pattern[str]) -> Filter:
    """What `on_message_pattern` selects: `pattern` is tried on the text as it came, too."""

    def find(activity: Any) -> Found | None:
        raw = getattr(activity, "text", None)
        if not isinstance(raw, str):
            return None
        words = own_words(activity)
        if isinstance(pattern, str):
            return _NOTHING if pattern in (raw, words) else None
        match = pattern.match(raw) or pattern.match(words or "")
        return None if match is None else (match,)

    finds: frozenset[type] = frozenset() if isinstance(pattern, str) else frozenset({re.Match})
    return Filter(find, f"pattern({_shown(pattern)})", finds, WITH_TEXT)


@dataclass(frozen=True, slots=True)
class Command:
    """A command that somebody has written: `/order two pizzas` is Command("order", "two pizzas")."""

    name: str
    """As it was given to the filter, without the slash."""
    text: str
    """What stands behind it, without the white space around it."""


def command(*names: str) -> Filter:
    """Activities whose text begins with one of `names`, with or without a slash before it and in any case:
    `/help`, `help`, `Help me`. The handler may ask for the `Command`. Raises TypeError without a name."""
    plain = [name.removeprefix("/").strip() if isinstance(name, str) else "" for name in names]
    if not plain or not all(plain):
        raise TypeError(f'command takes names such as command("help"), not {names!r}.')
    # The longest first, so that "order list" is found where "order" is a command, too.
    ordered = sorted(plain, key=len, reverse=True)
    regex = re.compile("/?(?:" + "|".join(f"({re.escape(name)})" for name in ordered) + r")(?!\S)", re.I)

    def find(activity: Any) -> Found | None:
        words = own_words(activity)
        match = regex.match(words) if words else None
        if match is None or words is None or match.lastindex is None:
            return None
        return (Command(ordered[match.lastindex - 1], words[match.end() :].strip()),)

    return Filter(find, f"command({', '.join(map(repr, plain))})", frozenset({Command}), WITH_TEXT)


class MentionFilter(Filter):
    """Activities that mention somebody: by itself the bot, called with an id that account."""

    def __init__(self, account_id: str | None = None) -> None:
        def find(activity: Any) -> Found | None:
            wanted = account_id or getattr(activity.recipient, "id", None)
            fits = wanted and any(_mentioned_id(entity) == wanted for entity in activity.entities or ())
            return _NOTHING if fits else None

        name = "mention" if account_id is None else f"mention({account_id!r})"
        super().__init__(find, name, types=WITH_TEXT)

    def __call__(self, account_id: str) -> MentionFilter:
        if not isinstance(account_id, str) or not account_id:
            raise TypeError(
                f'mention takes the id of an account, such as mention("29:..."), not {account_id!r}.'
            )
        return MentionFilter(account_id)


mention = MentionFilter()
"""Activities that @mention the bot; `mention(account_id)`: that account."""

_SCOPES: dict[str, str] = {name.casefold(): name for name in ("personal", "groupChat", "channel", "team")}


def scope(*scopes: Scope) -> Filter:
    """Activities of one of these kinds of conversations: "personal" (one-to-one chats), "groupChat" (group
    chats and the chats of meetings), "channel" (of a team), "team" (whatever belongs to a team: its channels,
    and what happens to the team itself). Raises ValueError for another word."""
    wanted = {str(name).casefold() for name in scopes}
    if not wanted or not wanted <= _SCOPES.keys():
        raise ValueError(f"scope takes some of {', '.join(_SCOPES.values())}, not {scopes!r}.")

    def find(activity: Any) -> Found | None:
        kind = (activity.conversation.conversation_type or "").casefold()
        if kind in wanted or ("team" in wanted and (kind == "channel" or activity.team is not None)):
            return _NOTHING
        return None

    return Filter(find, f"scope({', '.join(map(repr, scopes))})")


# Joining them ---------------------------------------------------------------------------------------------


def as_filter(condition: Condition) -> Filter:
    """The filter that a condition is. Raises TypeError for what is none."""
    return condition if isinstance(condition, Filter) else where(condition)


def all_of(*filters: Filter) -> Filter:
    """Activities that fit all of them, asked in that order."""
    if len(filters) == 1:
        return filters[0]
    finds = [each.find for each in filters]

    def find(activity: Any) -> Found | None:
        found = _NOTHING
        for each in finds:
            more = each(activity)
            if more is None:
                return None
            if more:
                found += more
        return found

    limits = [each.types for each in filters if each.types is not None]
    types = frozenset.intersection(*limits) if limits else None
    return Filter(find, f"({' & '.join(map(repr, filters))})", found_by(*filters), types)


def _either(left: Filter, right: Filter) -> Filter:
    def find(activity: Any) -> Found | None:
        found = left.find(activity)
        return right.find(activity) if found is None else found

    types = None if left.types is None or right.types is None else left.types | right.types
    return Filter(find, f"({left!r} | {right!r})", found_by(left, right), types)


def found_by(*filters: Filter) -> frozenset[type]:
    """The types of what some of them may find."""
    return frozenset[type]().union(*(each.finds for each in filters))


# Texts and mentions ---------------------------------------------------------------------------------------


def own_words(activity: Any) -> str | None:
    """The text of an activity without the mention of the bot and the quotes that begin it, and without the
    white space around it; None for an activity that has no text.

    A text as long as a message may be is walked over once, whatever it begins with: of mentions of the bot,
    `MOST_MENTIONS` are taken away.
    """
    global _last
    text = getattr(activity, "text", None)
    if not isinstance(text, str):
        return None
    entities = activity.entities or ()
    own_id = getattr(activity.recipient, "id", None)
    # Every filter of an app asks, one after the other, for the words of the same text.
    known_text, known_entities, known_number, known_id, words = _last
    if (
        text is known_text
        and entities is known_entities
        and len(entities) == known_number
        and own_id == known_id
    ):
        return words
    words = _without_marks(text, entities, own_id)
    if len(text) >= _LONG_TEXT:
        _last = (text, entities, len(entities), own_id, words)
    return words


MOST_MENTIONS = 50
"""Of the bot, one after the other, that may begin a text."""

_LONG_TEXT = 1000
"""Characters from which on the words of a text are remembered until the next one comes."""

_last: tuple[str, Sequence[object], int, object, str] = ("", (), 0, None, "")

# Teams' editor puts a hard space behind a mention, which may come escaped.
_SPACE = re.compile(r"(?:\s|&nbsp;)*+")


def _without_marks(text: str, entities: Sequence[object], own_id: object) -> str:
    own: tuple[str, ...] | None = None
    left = MOST_MENTIONS
    at = _end(_SPACE.match(text))
    while text.startswith("<", at):
        mark = QUOTE_MARK.match(text, at)
        if mark is not None:
            at = mark.end()
        else:
            if own is None:
                own = _own_mentions(entities, own_id)
            mention = next((each for each in own if text.startswith(each, at)), None)
            if mention is None or not left:
                break
            left -= 1
            at += len(mention)
        at = _end(_SPACE.match(text, at))
    return text[at:].rstrip()


def _end(match: re.Match[str] | None) -> int:
    return 0 if match is None else match.end()


def _own_mentions(entities: Sequence[object], own_id: object) -> tuple[str, ...]:
    """How the bot is mentioned, each once, in the order of the entities."""
    found: dict[str, None] = {}
    for entity in entities if own_id else ():
        mentioned: Any = getattr(entity, "mentioned", None)
        if getattr(mentioned, "id", None) == own_id:
            mention = getattr(entity, "text", None) or f"<at>{mentioned.name}</at>"
            if isinstance(mention, str):
                found[mention] = None
    return tuple(found)


def _mentioned_id(entity: object) -> object:
    return getattr(getattr(entity, "mentioned", None), "id", None)


def _shown(pattern: str | re.Pattern[str]) -> str:
    return repr(pattern if isinstance(pattern, str) else pattern.pattern)
