# /// script
# requires-python = ">=3.11"
# dependencies = [
#     "cadenza-agents",
#     "cadenza-api",
#     "cadenza-apps",
#     "cadenza-durable[redis]",
#     "cadenza-events",
#     "cadenza-state[redis]",
# ]
#
# [tool.uv.sources]
# cadenza-agents = { path = "../packages/agents", editable = true }
# cadenza-api = { path = "../packages/api", editable = true }
# cadenza-apps = { path = "../packages/apps", editable = true }
# cadenza-durable = { path = "../packages/durable", editable = true }
# cadenza-events = { path = "../packages/events", editable = true }
# cadenza-state = { path = "../packages/state", editable = true }
# ///
"""What a durable stream costs, beside raw redis-py in the same run: throughput, latency, memory.

    uv run benchmarks/durable.py --out benchmarks/results     # four minutes, two quiet cores, redis-server

README.md says what is measured.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Awaitable, Iterator
from contextlib import asynccontextmanager, contextmanager
from importlib.metadata import version
from pathlib import Path
from statistics import median, quantiles
from typing import Any
from uuid import uuid4

from cadenza.durable import LogReader, LogWriter, RedisLog, SQLiteLog, StreamLog
from cadenza.durable.log_entries import encode_entry
from cadenza.events import Outcome, RunEnded, StreamEvent, Text, to_dict
from redis.asyncio import Redis

BATCHES = (1, 10, 100)
"""Events in one append, or in one pipeline."""
READERS = (1, 10, 100)
TOKEN = "token "
BACKENDS = ("sqlite", "redis")

# The server


@contextmanager
def redis_server() -> Iterator[str]:
    """A server of its own, with an append-only file, as `RedisState` advises. Yields its URL."""
    binary = shutil.which("redis-server")
    if binary is None:
        sys.exit("benchmarks/durable.py: there is no redis-server on the PATH")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    with tempfile.TemporaryDirectory() as folder:
        options = {"port": str(port), "bind": "127.0.0.1", "dir": folder, "appendonly": "yes", "save": ""}
        arguments = [text for name, value in options.items() for text in (f"--{name}", value)]
        server = subprocess.Popen([binary, *arguments], stdout=subprocess.DEVNULL)
        try:
            time.sleep(0.5)
            yield f"redis://127.0.0.1:{port}"
        finally:
            server.terminate()
            server.wait()


@asynccontextmanager
async def opened(backend: str, place: str) -> AsyncIterator[StreamLog]:
    """The log at `place`: a URL, or a path."""
    log: StreamLog = RedisLog(place, prefix="bench") if backend == "redis" else SQLiteLog(place)
    await log.start()
    try:
        yield log
    finally:
        await log.close()


# Throughput: the same events, in batches of the same size, one batch after the other


def events(count: int) -> list[StreamEvent]:
    return [Text(TOKEN) for _ in range(count)]


async def our_append(log: StreamLog, run_id: str, count: int, batch: int) -> float:
    """Seconds for `count` events. Each batch is made JSON, and is stored when the next one goes."""
    await log.create(run_id, b"{}")
    claim = await log.claim(run_id, "bench", 60.0)
    assert claim is not None
    given = events(batch)
    began = time.perf_counter()
    for after in range(0, count, batch):
        await log.append(run_id, claim.epoch, after, encode_entry(given), batch, seconds=60.0)
    return time.perf_counter() - began


async def our_writer(log: StreamLog, run_id: str, count: int) -> float:
    """Seconds for `count` events through a `LogWriter`, which makes its batches itself."""
    writer = await LogWriter.open(log, run_id)
    assert writer is not None
    began = time.perf_counter()
    for event in events(count):
        await writer.put(event)
    await writer.flush()
    took = time.perf_counter() - began
    await writer.close(Outcome.COMPLETED)
    return took


async def raw_append(client: Any, key: str, count: int, batch: int) -> float:
    given = events(batch)
    began = time.perf_counter()
    for _ in range(0, count, batch):
        pipeline = client.pipeline(transaction=False)
        for event in given:
            pipeline.xadd(key, {"data": json.dumps(to_dict(event))})
        await pipeline.execute()
    return time.perf_counter() - began


async def our_read(log: StreamLog, run_id: str, count: int) -> float:
    """Seconds for all of a log as events: what a reader that comes late waits."""
    began = time.perf_counter()
    got = 0
    async for event in LogReader(log, run_id, follow=False):
        got += isinstance(event, Text)
    assert got == count, (got, count)
    return time.perf_counter() - began


async def raw_read(client: Any, key: str, count: int) -> float:
    """XREAD, and its answers as redis-py gives them: not made events of."""
    began = time.perf_counter()
    last, got = "0-0", 0
    while got < count:
        [[_, entries]] = await client.xread({key: last}, count=100)
        got += len(entries)
        last = entries[-1][0]
    return time.perf_counter() - began


async def throughput(places: dict[str, str], count: int, rounds: int) -> dict[str, list[float]]:
    """Events a second, by subject; all of them in turn in each round."""
    found: dict[str, list[float]] = {}

    def note(name: str, seconds: float) -> None:
        found.setdefault(name, []).append(count / seconds)

    client: Any = Redis.from_url(places["redis"])
    for _ in range(rounds):
        for batch in BATCHES:
            key = uuid4().hex
            note(f"append raw {batch}", await raw_append(client, key, count, batch))
            note(f"read raw {batch}", await raw_read(client, key, count))
            for backend in BACKENDS:
                async with opened(backend, places[backend]) as log:
                    run_id = uuid4().hex
                    note(f"append {backend} {batch}", await our_append(log, run_id, count, batch))
                    note(f"read {backend} {batch}", await our_read(log, run_id, count))
        for backend in BACKENDS:
            async with opened(backend, places[backend]) as log:
                note(f"writer {backend}", await our_writer(log, uuid4().hex, count))
    await client.aclose()
    return found


# Latency: a writer in another process says when it wrote, by the clock that all processes share


def now() -> str:
    return repr(time.perf_counter())  # CLOCK_MONOTONIC: the same in all processes of a machine


async def write_slowly(subject: str, place: str, run_id: str, count: int, pause: float) -> None:
    """The other process: one event each `pause` seconds, so that the readers are idle when it comes."""
    await asyncio.sleep(0.5)
    if subject == "raw":
        client: Any = Redis.from_url(place)
        for _ in range(count):
            await client.xadd(run_id, {"data": json.dumps(to_dict(Text(now())))})
            await asyncio.sleep(pause)
        await client.aclose()
        return
    async with opened(subject, place) as log:
        writer = await LogWriter.open(log, run_id)
        assert writer is not None
        for _ in range(count):
            writer.write(Text(now()))
            await asyncio.sleep(pause)
        await writer.close(Outcome.COMPLETED)


async def our_reader(log: StreamLog, run_id: str, delays: list[float], _: int) -> None:
    async for event in LogReader(log, run_id, deadline=60.0):
        if isinstance(event, Text):
            delays.append(time.perf_counter() - float(event.text))
        elif isinstance(event, RunEnded):
            break


async def raw_reader(client: Any, key: str, delays: list[float], count: int) -> None:
    last = "0-0"
    for _ in range(count):
        [[_, entries]] = await client.xread({key: last}, count=1, block=0)
        [(last, fields)] = entries
        delays.append(time.perf_counter() - float(json.loads(fields[b"data"])["text"]))


async def latency(subject: str, place: str, readers: int, count: int, pause: float = 0.1) -> list[float]:
    """Seconds from the writing of an event to each reader that has it."""
    run_id = uuid4().hex
    delays: list[float] = []
    arguments = ["--write", subject, place, run_id, str(count), str(pause)]
    if subject == "raw":
        client: Any = Redis.from_url(place)
        reading: list[Awaitable[None]] = [raw_reader(client, run_id, delays, count) for _ in range(readers)]
        other = await asyncio.create_subprocess_exec(sys.executable, __file__, *arguments)
        await asyncio.gather(*reading)
        await client.aclose()
    else:
        async with opened(subject, place) as log:
            other = await asyncio.create_subprocess_exec(sys.executable, __file__, *arguments)
            await asyncio.gather(*(our_reader(log, run_id, delays, count) for _ in range(readers)))
    assert await other.wait() == 0
    assert len(delays) == readers * count, (len(delays), readers, count)
    return delays


# Memory


async def memory(url: str, tokens: int, per_second: float) -> dict[str, float]:
    """Bytes in Redis for 1,000 tokens that come as fast as a model gives them."""
    client: Any = Redis.from_url(url)
    key = uuid4().hex
    for event in events(tokens):
        await client.xadd(key, {"data": json.dumps(to_dict(event))})
    found = {"raw XADD, a token each": await client.memory_usage(key, samples=0) * 1000 / tokens}
    async with opened("redis", url) as log:
        run_id = uuid4().hex
        writer = await LogWriter.open(log, run_id)
        assert writer is not None
        began = time.perf_counter()
        for number, event in enumerate(events(tokens)):
            writer.write(event)
            await asyncio.sleep(max(0.0, began + (number + 1) / per_second - time.perf_counter()))
        await writer.close(Outcome.COMPLETED)
        found["the log of a run that is over"] = await _size(client, run_id) * 1000 / tokens
        from cadenza.durable.whole_run import compact_run

        await compact_run(log, run_id)
        found["the same, compacted"] = await _size(client, run_id) * 1000 / tokens
    await client.aclose()
    return found


async def _size(client: Any, run_id: str) -> int:
    size = 0
    async for key in client.scan_iter(match="*"):
        if run_id.encode() in key:
            size += await client.memory_usage(key, samples=0)
    return size


# The report


def ratio(found: dict[str, list[float]], name: str, floor: str) -> float:
    """The median of the rounds' ratios: a noisy minute strikes both."""
    return median(ours / raw for ours, raw in zip(found[name], found[floor], strict=True))


def report(told: dict[str, Any]) -> str:
    versions = f"redis-py {told['redis_py']}, Redis {told['redis']}, SQLite {told['sqlite']}"
    lines = [
        f"Python {told['python']}, {versions}.",
        "",
        "Events a second, the median of the rounds; beside it, raw redis-py of the same round = 1:",
        "",
        "| events in a batch | " + " | ".join(map(str, BATCHES)) + " |",
        "|---|" + "---:|" * len(BATCHES),
    ]
    found = told["throughput"]
    for what, raw in (("append", "pipelined XADD"), ("read", "XREAD COUNT 100")):
        cells = [f"{median(found[f'{what} raw {batch}']):,.0f}" for batch in BATCHES]
        lines.append(f"| {what}: raw {raw} | {' | '.join(cells)} |")
        for backend in BACKENDS:
            cells = []
            for batch in BATCHES:
                name = f"{what} {backend} {batch}"
                against = ratio(found, name, f"{what} raw {batch}")
                cells.append(f"{median(found[name]):,.0f} ({against:.2f})")
            lines.append(f"| {what}: {backend} | {' | '.join(cells)} |")
    for backend in BACKENDS:
        lines += ["", f"`LogWriter` on {backend}: {median(found[f'writer {backend}']):,.0f} events a second."]
    lines += [
        "",
        "From the writing of an event in one process to an idle reader in another, ms:",
        "",
        "| readers | " + " | ".join(f"{readers}: p50 | p99" for readers in READERS) + " |",
        "|---|" + "---:|---:|" * len(READERS),
    ]
    for subject in ("raw", *BACKENDS):
        cells = []
        for readers in READERS:
            delays = told["latency"][f"{subject} {readers}"]
            cells.append(f"{delays['p50'] * 1000:.1f} | {delays['p99'] * 1000:.1f}")
        lines.append(f"| {'raw XADD, XREAD BLOCK' if subject == 'raw' else subject} | {' | '.join(cells)} |")
    lines += ["", "Bytes in Redis for 1,000 tokens of six characters:", "", "| what | bytes |", "|---|---:|"]
    lines += [f"| {what} | {size:,.0f} |" for what, size in told["memory"].items()]
    lines += ["", "Wanted:", ""]
    for batch in BATCHES:
        for what in ("append", "read"):
            against = ratio(found, f"{what} redis {batch}", f"{what} raw {batch}")
            lines.append(
                f"- {what}, {batch} in a batch: {against:.2f} of raw redis-py (0.70: {_yes(against >= 0.7)})"
            )
    for backend in BACKENDS:
        first = told["latency"][f"{backend} 1"]["p50"]
        lines.append(f"- {backend}: {first * 1000:.1f} ms to an idle reader (20 ms: {_yes(first < 0.02)})")
    return "\n".join(lines) + "\n"


def _yes(reached: bool) -> str:
    return "yes" if reached else "NO"


async def measure(url: str, path: str, count: int, rounds: int, shots: int) -> dict[str, Any]:
    import sqlite3

    places = {"redis": url, "raw": url, "sqlite": path}
    await throughput(places, count // 10, 1)  # warms up
    client: Any = Redis.from_url(url)
    server = (await client.info())["redis_version"]
    await client.aclose()
    told: dict[str, Any] = {
        "python": sys.version.split()[0],
        "redis_py": version("redis"),
        "redis": server,
        "sqlite": sqlite3.sqlite_version,
        "throughput": await throughput(places, count, rounds),
        "latency": {},
        "memory": await memory(url, 1000, 50.0),
    }
    for readers in READERS:
        for subject in ("raw", *BACKENDS):
            delays = await latency(subject, places[subject], readers, shots)
            cuts = quantiles(delays, n=100)
            told["latency"][f"{subject} {readers}"] = {"p50": cuts[49], "p99": cuts[98]}
    return told


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--out", type=Path, help="a folder for durable.md and durable.json")
    parser.add_argument("--count", type=int, default=10_000, help="events of one throughput measurement")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--shots", type=int, default=100, help="events of one latency measurement")
    parser.add_argument("--write", nargs=5, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.write:
        subject, place, run_id, count, pause = given.write
        asyncio.run(write_slowly(subject, place, run_id, int(count), float(pause)))
        return
    with redis_server() as url, tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, "log.db")
        told = asyncio.run(measure(url, path, given.count, given.rounds, given.shots))
    text = report(told)
    print(text)
    if given.out:
        (given.out / "durable.md").write_text(text)
        (given.out / "durable.json").write_text(json.dumps(told, indent=1) + "\n")


if __name__ == "__main__":
    main()
