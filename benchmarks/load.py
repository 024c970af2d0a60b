"""The process of one SDK: feeds its streams, and measures what that costs.

    load.py SUBJECT URL STREAMS TOKENS

prints one JSON object. Tokens come in ticks of a tenth of a second, five at a time, to every SDK alike;
the streams are spread over ten phases of the tick, as the tokens of many model calls are.
"""

from __future__ import annotations

import asyncio
import gc
import json
import logging
import os
import sys
import time
from collections import Counter
from contextlib import suppress
from typing import Any

from answers import TOKENS_PER_SECOND, Crowd, tokens
from cadenza.apps.collector import CALM
from subjects import SUBJECTS, Answer, Subject

__all__ = ["measure"]

PHASES = 10
TICK = 0.1  # seconds
PER_TICK = round(TOKENS_PER_SECOND * TICK)
PROBE = 0.005  # seconds between two looks at the lag of the loop
PATIENCE = 60.0  # seconds after the last token, before an answer counts as never closed


class Feed:
    """Hands out tokens: every phase of every tick is one callback of the event loop."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._phases: list[list[_Fed]] = [[] for _ in range(PHASES)]
        self._at = self._loop.time()
        self._count = 0
        self._next()

    async def feed(self, answer: Answer, said: list[str]) -> tuple[float, float]:
        """Feed one answer all of its tokens; returns when the first and the last of them came."""
        fed = _Fed(answer, said, self._loop.create_future())
        if fed.emit(self._loop.time()):
            self._phases[self._count % PHASES].append(fed)
        return await fed.done

    def _next(self) -> None:
        phase = self._phases[self._count % PHASES]
        now = self._loop.time()
        phase[:] = [fed for fed in phase if fed.emit(now)]
        self._count += 1
        self._at += TICK / PHASES
        self._loop.call_at(self._at, self._next)


class _Fed:
    __slots__ = ("_answer", "_at", "_first", "_said", "done")

    def __init__(self, answer: Answer, said: list[str], done: asyncio.Future[tuple[float, float]]) -> None:
        self._answer = answer
        self._said = said
        self._at = 0
        self._first = 0.0
        self.done = done

    def emit(self, now: float) -> bool:
        """Emit one tick's tokens. False after the last one."""
        if not self._at:
            self._first = now
        emit = self._answer.emit
        try:
            for token in self._said[self._at : self._at + PER_TICK]:
                emit(token)
        except Exception as error:
            self.done.set_exception(error)
            return False
        self._at += PER_TICK
        if self._at < len(self._said):
            return True
        self.done.set_result((self._first, now))
        return False


class Probe:
    """How late the event loop is, and how much memory the process has, while it runs."""

    def __init__(self) -> None:
        self.lags: list[float] = []
        self.memory = resident()
        self._loop = asyncio.get_running_loop()
        self._expected = self._loop.time() + PROBE
        self._timer = self._loop.call_at(self._expected, self._look)
        self._looks = 0

    def _look(self) -> None:
        now = self._loop.time()
        while self._expected <= now:  # a stall is as many late timers as should have fired meanwhile
            self.lags.append(now - self._expected)
            self._expected += PROBE
        self._looks += 1
        if self._looks % 10 == 0:
            self.memory = max(self.memory, resident())
        self._timer = self._loop.call_at(self._expected, self._look)

    def stop(self) -> None:
        self._timer.cancel()
        self.memory = max(self.memory, resident())


def resident() -> int:
    """Bytes of memory that the process has."""
    with open("/proc/self/statm", "rb") as file:
        return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")


async def measure(subject: Subject, crowd: Crowd) -> dict[str, Any]:
    loop = asyncio.get_running_loop()
    errors: Counter[str] = Counter()
    unobserved: Counter[str] = Counter()
    loop.set_exception_handler(lambda _, context: unobserved.update([_named(context)]))
    texts = [tokens(index, crowd.tokens) for index in range(crowd.streams)]
    feed = Feed()
    with suppress(Exception):
        await _answer(subject, feed, -1, tokens(-1, 5))  # imports, caches, the first connection
    gc.collect()
    probe, idle = Probe(), time.process_time()
    await asyncio.sleep(1)
    probe.stop()
    idle = time.process_time() - idle  # what a second of measuring costs by itself
    before, cpu, began = resident(), time.process_time(), loop.time()
    probe = Probe()
    spans: list[tuple[float, float, float] | None] = [None] * crowd.streams
    open_now = most = 0

    async def one(index: int) -> None:
        nonlocal open_now, most
        await asyncio.sleep(began + 0.1 + crowd.begins(index) - loop.time())
        open_now += 1
        most = max(most, open_now)
        try:
            spans[index] = await _answer(subject, feed, index, texts[index])
        except Exception as error:
            errors[type(error).__name__] += 1
        finally:
            open_now -= 1

    tasks = [asyncio.create_task(one(index)) for index in range(crowd.streams)]
    _, late = await asyncio.wait(tasks, timeout=crowd.seconds + PATIENCE)
    cpu, took = time.process_time() - cpu, loop.time() - began
    probe.stop()
    if late:
        errors["never closed"] += len(late)
    else:
        await subject.stop()
        del tasks
        gc.collect()  # a task that died unseen says so now
        await asyncio.sleep(0)
    return {
        "cpu": cpu - idle * took,
        "harness_cpu": idle * took,
        "seconds": took,
        "memory": probe.memory - before,
        "most_open": most,
        "lags": probe.lags,
        "spans": spans,
        "errors": dict(errors),
        "unobserved": dict(unobserved),
    }


async def _answer(subject: Subject, feed: Feed, index: int, said: list[str]) -> tuple[float, float, float]:
    """One handler: when the first and the last token came, and when close() returned."""
    answer = await subject.open(index)
    first, last = await feed.feed(answer, said)
    await answer.close()
    return first, last, asyncio.get_running_loop().time()


def _named(context: dict[str, Any]) -> str:
    error = context.get("exception")
    return f"{context.get('message')}: {type(error).__name__}" if error else str(context.get("message"))


async def main(name: str, url: str, crowd: Crowd) -> None:
    print(json.dumps(await measure(SUBJECTS[name](url), crowd)), flush=True)
    os._exit(0)  # whatever is still under way


if __name__ == "__main__":
    gc.set_threshold(*CALM)  # as App.start() of Cadenza does: here for all, since it helps all
    logging.disable(logging.CRITICAL)  # asyncio's own words go to the exception handler all the same
    name, url, *numbers = sys.argv[1:]
    asyncio.run(main(name, url, Crowd(*map(int, numbers))))
