"""What Cadenza promises whatever fails, checked on what came of a scene."""

from __future__ import annotations

from itertools import combinations

from cadenza.apps import DeliveryUnknownError, StreamDeliveryError
from cadenza.apps.stream.limits import TEAMS
from faults.catalogue import ACTIONS, DOUBTFUL, FALSE
from faults.scene import CLOSE_AT, LINE_SECONDS, WORDS, Scene, Sight

__all__ = ["STOPS", "broken", "most_requests", "most_seconds"]

WHOLE = "".join(WORDS)
STOPS = ("403 canceled", "403 cancelled")

CLOSING_REQUESTS = 4
"""The longest way to the end: a final, one that only finalizes what is shown, an edit, the card."""


def most_seconds(scene: Scene) -> float:
    """Virtual seconds within which `close()` must have ended, counted from the first word or line.

    The bot's own time; an interval for each closing request; and for each fault an interval, its backoff,
    and what it takes by itself: its delay, but no longer than a request may take; its Retry-After, but no
    longer than a closing request may take.
    """
    seconds = CLOSE_AT + scene.lines * LINE_SECONDS + CLOSING_REQUESTS * TEAMS.interval
    for number, strike in enumerate(scene.strikes, 1):
        action = ACTIONS[strike.fault]
        silence = TEAMS.request_timeout if action.end == "never" else action.delay + action.hold
        retry_after = float(action.reply.headers.get("retry-after", 0)) if action.reply else 0.0
        seconds += TEAMS.interval + TEAMS.backoff(number)
        seconds += min(silence, TEAMS.request_timeout) + min(retry_after, TEAMS.final_deadline)
    return seconds


def most_requests(scene: Scene) -> int:
    """How many requests there may be, typing indicators aside.

    One for each word or line, and for each fault three: the repetition, one that finalizes, one that brings
    the rest.
    """
    return len(WORDS) + scene.lines * 2 + 3 * len(scene.strikes)


def broken(sight: Sight) -> list[str]:
    """The promises that were not kept, in words."""
    problems = [f"violation: {violation}" for violation in sight.violations]
    if sight.seconds > most_seconds(sight.scene):
        problems.append(f"it took {sight.seconds} s instead of {most_seconds(sight.scene)} s at most")
    requests = len(sight.requests.replace("t", ""))
    if requests > most_requests(sight.scene):
        problems.append(f"{requests} requests, typing aside, instead of {most_requests(sight.scene)} at most")
    if sight.requests.count("t") > CLOSE_AT / TEAMS.typing_interval + 2:
        problems.append("the typing indicator comes too often")
    believed = FALSE.isdisjoint(sight.struck)  # a false "I did nothing" may show words twice
    if sight.sent is not None:
        problems += _broken_if_sent(sight, believed)
    elif sight.stopped:
        if sight.last_fault not in STOPS:
            problems.append("something was sent after Stop, or there was none")
        unknown = not DOUBTFUL.isdisjoint(sight.struck)
        problems += _uncovered(sight, sight.undelivered, believed, unknown=unknown)
    elif isinstance(sight.error, StreamDeliveryError):
        unknown = isinstance(sight.error, DeliveryUnknownError)
        problems += _uncovered(sight, sight.error.undelivered, believed, unknown=unknown)
        problems += _missing_card(sight, believed, unknown)
        if sight.undelivered != sight.error.undelivered:
            problems.append("stream.undelivered is not what the error says")
    else:
        problems.append(f"close() neither delivered nor said what is missing: {sight.handler}")
    return problems


def _broken_if_sent(sight: Sight, believed: bool) -> list[str]:
    assert sight.sent is not None
    problems = []
    strays = [message for message in sight.messages if message.id not in sight.sent.parts]
    parts = [message for message in sight.messages if message.id in sight.sent.parts]
    text = "".join(message.text for message in parts)
    cards = sum(len(message.cards) for message in sight.messages)
    if not believed:
        if any(word not in sight.text for word in WORDS) or cards < sight.scene.card:
            problems.append("a word or the card is missing")
        return problems
    if text != WHOLE:
        problems.append(f"close() said sent, and {text!r} is on the screen")
    if len(strays) > sight.orphans:
        problems.append(f"{len(strays)} stray bubbles, {sight.orphans} counted")
    if cards != sight.scene.card:
        problems.append(f"{cards} cards on the screen")
    if any(message.state == "streaming" for message in sight.messages):
        problems.append("a bubble never ends")
    return problems


def _uncovered(sight: Sight, undelivered: str, believed: bool, *, unknown: bool = False) -> list[str]:
    """What is on the screen and what is said to be missing are the whole text, in this order."""
    if not sight.emitted.endswith(undelivered):
        return [f"{undelivered!r} is no end of {sight.emitted!r}"]
    shown = sight.emitted[: len(sight.emitted) - len(undelivered)]
    texts = [message.text for message in sight.messages]
    for count in range(min(sight.orphans, len(texts)) + 1):  # bubbles that were left behind aside
        for kept in combinations(texts, len(texts) - count):
            joined = "".join(kept)
            if joined == shown or (unknown and joined.startswith(shown) and sight.emitted.startswith(joined)):
                return []
    if not believed and sight.text.startswith(shown):
        return []
    return [f"{shown!r} should be on the screen, there is {texts}"]


def _missing_card(sight: Sight, believed: bool, unknown: bool) -> list[str]:
    assert isinstance(sight.error, StreamDeliveryError)
    cards = sum(len(message.cards) for message in sight.messages)
    said = "attachments" in sight.error.missing
    if sight.scene.card and not cards and not said:
        return ["the card is missing, and the error does not say so"]
    if cards and said and not unknown and believed:
        return ["the card that is said to be missing is there"]
    return []
