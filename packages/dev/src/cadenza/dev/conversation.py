"""The course of `cadenza chat`: what the user does, one after the other, and what came of it all."""

from __future__ import annotations

import asyncio
import shlex
import sys
from collections.abc import AsyncIterator, Coroutine, Iterable, Sequence
from typing import Any

from cadenza.cli import BotError
from cadenza.dev.keyboard import Keyboard, on_interrupt
from cadenza.dev.session import Session, TurnTimeoutError, open_session
from cadenza.dev.views import View
from cadenza.testing import Fault

__all__ = ["converse"]

QUIT = "/quit"


async def converse(
    path: str, say: Sequence[str], faults: Iterable[Fault], view: View, *, turn_seconds: float
) -> int:
    """Talk to the bot at `path` until `say`, or without it the keyboard, is at its end; returns the status
    to exit with.

    With `say`, a turn may take `turn_seconds`. What went wrong is told on stderr, after the transcript.
    """
    try:
        async with open_session(
            path, faults, view.observe, turn_seconds=turn_seconds if say else None
        ) as session:
            texts = _scripted(say, view) if say else _typed(Keyboard(), view, path)
            interrupted = await _interruptible(session, _talk(session, texts, view, typed=not say), view)
            if interrupted and say:
                session.failures.append("interrupted before all was said")
    except BotError as error:
        print(f"{error.format_cause()}cadenza chat: {error}", file=sys.stderr)
        return 1
    finally:
        view.close()
    return _report(session)


async def _scripted(say: Sequence[str], view: View) -> AsyncIterator[str]:
    for text in say:
        view.prompt()
        view.said(text, echoed=False)
        yield text


async def _typed(keyboard: Keyboard, view: View, path: str) -> AsyncIterator[str]:
    view.note(f"This is {path}. Ctrl-C presses Stop, /click TITLE a button; {QUIT} or Ctrl-D ends the chat.")
    view.prompt()
    while (line := await keyboard.read()) is not None and line[0].strip() != QUIT:
        text, echoed = line
        view.said(text, echoed=echoed)
        if text.strip():
            yield text
        view.prompt()
    view.said("", echoed=False)


async def _talk(session: Session, texts: AsyncIterator[str], view: View, *, typed: bool) -> None:
    try:
        async for text in texts:
            before = session.dialog
            try:
                await _do(session, text)
            except (LookupError, ValueError) as error:  # there is no such button, or it does nothing
                view.note(f"({error})")
                if not typed:
                    session.failures.append(str(error))
                continue
            if session.refusal:  # what a user sees of it in Teams, and why
                view.note(f"(Something went wrong. Please try again: {session.refusal})")
            if session.notice:
                view.notice(session.notice)
            if session.dialog is not None and session.dialog is not before:
                view.opened(session.dialog)
            elif session.dialog is None and before is not None:
                view.note("(the dialog is closed)")
    except TurnTimeoutError as error:
        view.note(f"({error}, and is given up)")
        session.failures.append(str(error))


async def _do(session: Session, text: str) -> None:
    """Do what the user says. Raises LookupError or ValueError for what cannot be done."""
    command, _, words = text.partition(" ")
    match command:
        case "/click" if words:
            await session.click(*_read_click(words))
        case "/submit":
            await session.submit(*_read_click(words, titled=False))
        case "/signin":
            by_hand, title = _read_flag(words, "--code")
            await session.sign_in(title, by_hand=by_hand)
        case "/decline":
            await session.decline_sign_in(words.strip())
        case "/react":
            await session.react(words.strip() or "like")
        case "/feedback":
            reaction, _, about = words.strip().partition(" ")
            await session.give_feedback(reaction, about.strip())
        case _:
            await session.say(text)


def _read_click(words: str, *, titled: bool = True) -> tuple[str, dict[str, str]]:
    """The title of a button, and after it what is put into the inputs: `Save name=Ada note="a b"`. Unless it
    must be `titled`, there may be no title."""
    try:
        parts = shlex.split(words)
    except ValueError:  # an apostrophe, say
        parts = words.split()
    end = len(parts)
    while end > titled and "=" in parts[end - 1]:
        end -= 1
    return " ".join(parts[:end]), dict(part.split("=", 1) for part in parts[end:])


def _read_flag(words: str, flag: str) -> tuple[bool, str]:
    """Whether `flag` is the first of the words, and the others."""
    first, _, rest = words.strip().partition(" ")
    return (True, rest.strip()) if first == flag else (False, words.strip())


async def _interruptible(session: Session, talk: Coroutine[Any, Any, None], view: View) -> bool:
    """Let the talk go on to its end, or until Ctrl-C is pressed with nothing to stop: True then."""
    task = asyncio.create_task(talk)

    def interrupt() -> None:
        if not session.press_stop():
            task.cancel()

    with on_interrupt(interrupt):
        await asyncio.wait({task})
    if task.cancelled():
        view.note("\n(ending; press Ctrl-C again if the bot takes too long)")
        return True
    task.result()
    return False


def _report(session: Session) -> int:
    """Say on stderr what went wrong, if anything did; returns the status to exit with."""
    reasons = [*session.failures]
    if violations := len(session.teams.violations):
        reasons.append(f"the bot broke rules of Teams: {violations} violations")
    if not reasons:
        return 0
    print(session.teams.format_transcript(), file=sys.stderr)
    for reason in reasons:
        print(f"cadenza chat: {reason}", file=sys.stderr)
    return 1
