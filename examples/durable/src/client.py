"""A client: starts a plan, or reads one on from a cursor. Ctrl-C leaves it, and the plan goes on."""

import argparse
import asyncio
import logging
import sys
from contextlib import suppress

from cadenza.durable import DurableError, Runner
from cadenza.events import AttemptSuperseded, RunEnded, StreamEvent, Text, ToolCall
from cadenza.state import StateError
from storage import make_broker, make_log


def show(event: StreamEvent | None) -> None:
    """One event, for a terminal."""
    match event:
        case Text():
            print(event.text, end="", flush=True)
        case ToolCall():
            print(f"[{event.name} {event.arguments}]", flush=True)
        case AttemptSuperseded():
            print("\n[the worker is gone; another begins anew with what follows]", flush=True)
        case RunEnded():
            print(f"\n[{event.outcome}]", flush=True)


async def main(city: str | None, run_id: str | None, after: str | None) -> None:
    async with Runner(make_log(), broker=make_broker()) as runner:  # without agents: it makes no runs
        run = runner.run(run_id) if run_id else await runner.start("planner", city or "")
        # None: this reader waits for a worker for as long as it takes.
        async with run.attach(after, lost_after=None) as reader:
            try:
                try:
                    async with asyncio.timeout(2):
                        show(await anext(reader, None))
                except TimeoutError:
                    if (await run.status()).status == "queued":
                        print("[queued: is a worker with this agent running?]", flush=True)
                async for event in reader:
                    show(event)
            except asyncio.CancelledError:
                after = f" --after {reader.cursor}" if reader.cursor else ""
                print(f"\n[to read on: --run {run.run_id}{after}]", flush=True)
                raise


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("city", nargs="?", help="start a plan for this city")
    parser.add_argument("--run", help="instead, read this run")
    parser.add_argument("--after", help="go on after this cursor")
    given = parser.parse_args()
    if bool(given.city) == bool(given.run) or (given.after and not given.run):
        parser.error("name a city to start a plan, or a run to read: --run ID [--after CURSOR]")
    logging.basicConfig(level="WARNING", format="\n[%(message)s]")  # it may come in the midst of a line
    try:
        with suppress(KeyboardInterrupt):
            asyncio.run(main(given.city, given.run, given.after))
    except (DurableError, StateError) as error:  # there is no such run; the log is away
        sys.exit(str(error))
