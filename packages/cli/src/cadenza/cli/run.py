"""`cadenza run`: a bot on its port, as in production."""

from __future__ import annotations

import asyncio
import logging
import sys
from typing import Annotated

import typer
from cadenza.state import StateError

from .bot import BotError, load_app, start
from .workers import UnfitError, run_workers


def run(
    path: Annotated[
        str,
        typer.Argument(metavar="PATH", help="A folder with main.py or src/main.py, a file, or module:app."),
    ],
    port: Annotated[
        int | None, typer.Option(min=0, max=65535, help="By default the variable PORT, else 3978.")
    ] = None,
    workers: Annotated[
        int, typer.Option(min=1, help="How many processes serve it. They need a state that they share.")
    ] = 1,
) -> None:
    """Run the bot at PATH, until SIGTERM or Ctrl-C.

    Then it takes no more messages, finishes what it is at, and ends.
    """
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    try:
        if workers > 1:
            raise typer.Exit(run_workers(path, port, workers))
        asyncio.run(_serve(path, port))
    except BotError as error:
        print(f"{error.format_cause()}cadenza run: {error}", file=sys.stderr)
        raise typer.Exit(1) from None
    except (UnfitError, StateError) as error:
        print(f"cadenza run: {error}", file=sys.stderr)
        raise typer.Exit(1) from None
    except OSError as error:
        print(f"cadenza run: the bot cannot listen: {error}", file=sys.stderr)
        raise typer.Exit(1) from None


async def _serve(path: str, port: int | None) -> None:
    app = load_app(path)  # inside the loop, so that a bot which starts itself is told that it must not
    await start(app, path, port)
