"""`cadenza chat`: a conversation with a bot in the terminal, against the emulated Teams."""

from __future__ import annotations

import asyncio
import io
import sys
from contextlib import nullcontext, redirect_stdout
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, NoReturn

import typer

if TYPE_CHECKING:
    from cadenza.dev.views import View
    from cadenza.testing import Fault

__all__ = ["chat"]

TURN_SECONDS = 300.0


def chat(
    path: Annotated[
        str,
        typer.Argument(metavar="PATH", help="A folder with main.py or src/main.py, a file, or module:app."),
    ],
    say: Annotated[
        list[str] | None, typer.Option(help="Say this and end; may be repeated. Without it, type.")
    ] = None,
    faults: Annotated[
        Path | None, typer.Option(help="A fault script: what the emulated Teams does wrong.")
    ] = None,
    plain: Annotated[
        bool, typer.Option("--plain", help="Print lines only, as is done where the output is no terminal.")
    ] = False,
    json: Annotated[
        bool, typer.Option("--json", help="Print every request and every change of the screen as JSON lines.")
    ] = False,
    timeout: Annotated[
        float, typer.Option(min=0, help="With --say: how many seconds a turn may take.")
    ] = TURN_SECONDS,
) -> None:
    """Talk to the bot at PATH, offline.

    It runs on a loopback port, and so does an emulated Teams.

    Ctrl-C presses Stop while an answer streams, and ends the chat otherwise, as /quit does.
    /click TITLE [input=value ...] clicks a button, /submit [TITLE] [input=value ...] submits a dialog,
    /react TYPE and /feedback like|dislike [TEXT] are about the newest message. /signin [--code] [TITLE] signs
    in by the newest card that asks for it, /decline [TITLE] does not.

    The exit status is 1 if the bot broke a rule of Teams, or failed; then the transcript of its requests is
    printed to stderr.
    """
    if plain and json:
        _give_up("--plain and --json exclude each other")
    script = _read_faults(faults) if faults is not None else []
    # Imported here, since it loads web servers: other commands need not wait for that.
    from cadenza.dev.conversation import converse

    view = _make_view(plain, json)
    # What the bot prints must not get between the lines of JSON.
    with redirect_stdout(sys.stderr) if json else nullcontext():
        try:
            status = asyncio.run(converse(path, say or [], script, view, turn_seconds=timeout))
        except KeyboardInterrupt:
            status = 130
    raise typer.Exit(status)


def _make_view(plain: bool, json: bool) -> View:
    from cadenza.dev import views

    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")
    if json:
        return views.JsonView(views.Output(sys.stdout))
    if plain or not sys.stdout.isatty():
        return views.PlainView(views.Output(sys.stdout))
    from cadenza.dev.rich_view import RichView
    from rich.console import Console

    console = Console()
    if console.is_dumb_terminal:  # nothing can be redrawn there
        return views.PlainView(views.Output(sys.stdout))
    return RichView(console)


def _read_faults(path: Path) -> list[Fault]:
    from cadenza.testing import FaultScriptError, parse_faults

    try:
        return parse_faults(path.read_text(encoding="utf-8"))
    except FaultScriptError as error:
        _give_up(f"{path}, {error}")
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is no text in UTF-8"
        _give_up(f"the fault script {path} cannot be read: {reason}")


def _give_up(reason: str) -> NoReturn:
    print(f"cadenza chat: {reason}", file=sys.stderr)
    raise typer.Exit(2)
