"""The `cadenza` command: what it does itself, and the commands that other packages bring."""

from __future__ import annotations

import sys
from collections.abc import Callable
from importlib.metadata import EntryPoint, entry_points, version
from typing import Annotated, Any

import typer

from .run import run

__all__ = ["main"]

GROUP = "cadenza.commands"
"""The group of entry points that commands are found by; each names a function that typer can call."""

KNOWN = {"chat": "cadenza-dev", "worker": "cadenza-durable"}
"""Commands that everybody has heard of, and the packages that bring them."""


def main() -> None:
    """Run the command line of this process, and exit."""
    command_line()(prog_name="cadenza")


def command_line() -> typer.Typer:
    """The command with all its subcommands.

    A subcommand that cannot be loaded is listed all the same, and says why when it is called: the others
    work on.
    """
    cadenza = typer.Typer(
        help="Cadenza: Microsoft Teams bots whose answers stream.",
        no_args_is_help=True,
        add_completion=False,
        rich_markup_mode=None,
        pretty_exceptions_enable=False,
    )
    cadenza.callback()(_options)
    cadenza.command()(run)
    found = {entry.name: entry for entry in entry_points(group=GROUP)}
    for name, entry in sorted(found.items()):
        _add(cadenza, name, entry)
    for name, package in KNOWN.items():
        if name not in found:
            _add_stand_in(cadenza, name, f"it comes with the package {package}: pip install {package}")
    return cadenza


def _print_version(wanted: bool) -> None:
    if wanted:
        print(f"cadenza {version('cadenza')}")
        raise typer.Exit


def _options(
    show_version: Annotated[
        bool, typer.Option("--version", help="Print the version and exit.", callback=_print_version)
    ] = False,
) -> None:
    pass


def _add(cadenza: typer.Typer, name: str, entry: EntryPoint) -> None:
    try:
        function: Callable[..., Any] = entry.load()
    except Exception as error:  # whatever a package of somebody else's does
        package = entry.dist.name if entry.dist is not None else entry.value
        reason = " ".join(f"{type(error).__name__}: {error}".split())
        _add_stand_in(cadenza, name, f"the package {package} cannot be loaded: {reason}")
    else:
        cadenza.command(name)(function)


def _add_stand_in(cadenza: typer.Typer, name: str, reason: str) -> None:
    """A command that only says why it is not there."""

    def explain() -> None:
        print(f"cadenza {name}: {reason}", file=sys.stderr)
        raise typer.Exit(1)

    anything = {"ignore_unknown_options": True, "allow_extra_args": True}
    cadenza.command(name, help=f"Not available: {reason}", context_settings=anything)(explain)
