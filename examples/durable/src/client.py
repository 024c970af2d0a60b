"""A client: starts a plan, or reads one on from a cursor. Ctrl-C leaves it, and the plan goes on."""

import argparse
import asyncio
from contextlib import suppress

from cadenza.durable import Runner
from cadenza.events import AttemptSuperseded, RunEnded, StreamEvent, Text, ToolCall
from storage import make_broker, make_log


def show(event: StreamEvent) -> None:
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
        run = runner.run(run_id) if run_id else await runner.start("planner", city or "Vienna")
        # None: this reader waits for a worker for as long as it takes.
        async with run.attach(after, lost_after=None) as reader:
            try:
                async for event in reader:
                    show(event)
            except asyncio.CancelledError:
                after = f" --after {reader.cursor}" if reader.cursor else ""
                print(f"\n[to read on: --run {run.run_id}{after}]", flush=True)
                raise


if __name__ == "__main__":
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("city", nargs="?", help="start a plan for this city")
    arguments.add_argument("--run", help="instead, read this run")
    arguments.add_argument("--after", help="go on after this cursor")
    given = arguments.parse_args()
    with suppress(KeyboardInterrupt):
        asyncio.run(main(given.city, given.run, given.after))
