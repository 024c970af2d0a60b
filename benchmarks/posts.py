"""The load on a messaging endpoint: many connections, each of which posts messages one after the other.

    posts.py PORT CONNECTIONS CONVERSATIONS WARM_UP SECONDS PID [TOKENS]

prints one JSON object. As Teams does, a connection is kept, and has one request under way. Sockets and epoll,
no HTTP client: what is measured is the server, and `busy` tells how much of its own core this process needed.
PID is the server's, whose CPU is read at both ends of the measurement. TOKENS is a URL with a JSON list: then
each request shows one of them, after the server has shown that it refuses one that nobody signed.
"""

from __future__ import annotations

import gc
import json
import os
import select
import socket
import sys
import time
from collections import Counter
from collections.abc import Sequence
from itertools import count
from statistics import median
from typing import Any
from urllib.request import urlopen

__all__ = ["BOT_ID", "SERVICE_URL", "Posts", "message"]

CONNECT = 30.0
"""Seconds within which the server must listen."""

BOT_ID = "00000000-0000-0000-0000-00000000b07a"
SERVICE_URL = "https://smba.trafficmanager.net/emea/"

AT_ONCE = 50
"""Tokens in use at the same time, in turn: the service is many senders, and each has its own."""
RENEWED = 500
"""Requests after which the oldest of them gives way to a new one. Teams does so once an hour."""


def message(conversation: int, id: str) -> dict[str, Any]:
    """A message as Teams sends them, in a personal chat."""
    tenant = "00000000-0000-0000-0000-000000000001"
    user = f"{conversation:032x}"
    return {
        "text": "How many days of leave have I left this year, and by when must I take them?",
        "textFormat": "plain",
        "type": "message",
        "timestamp": "2026-11-21T10:11:12.1314151Z",
        "localTimestamp": "2026-11-21T11:11:12.1314151+01:00",
        "id": id,
        "channelId": "msteams",
        "serviceUrl": SERVICE_URL,
        "from": {
            "id": f"29:{user}{user}",
            "name": "Adele Vance",
            "aadObjectId": f"00000000-0000-0000-0000-{conversation:012d}",
        },
        "conversation": {
            "conversationType": "personal",
            "tenantId": tenant,
            "id": f"a:{user}{user}{user}",
        },
        "recipient": {"id": f"28:{BOT_ID}", "name": "bot"},
        "entities": [
            {
                "locale": "en-US",
                "country": "US",
                "platform": "Web",
                "timezone": "Europe/Dublin",
                "type": "clientInfo",
            }
        ],
        "channelData": {"tenant": {"id": tenant}},
        "locale": "en-US",
        "localTimezone": "Europe/Dublin",
    }


class Posts:
    """The requests: every one another message, of another conversation than the one before it, and with
    another one of `tokens`."""

    def __init__(self, port: int, conversations: int, tokens: Sequence[str] = ()) -> None:
        self._ids = count(1_700_000_000_000)
        self._conversations = conversations
        self._start = f"POST /api/messages HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\n".encode()
        self._vouchers = [f"Authorization: Bearer {token}\r\n".encode() for token in tokens]
        self._number = 0
        self._parts: list[tuple[bytes, bytes]] = []
        for conversation in range(conversations):
            mark = "0" * 13  # as long as an id, so that Content-Length is the same for all of them
            before, _, after = json.dumps(message(conversation, mark)).partition(f'"{mark}"')
            length = len(before) + len(mark) + 2 + len(after)
            head = (
                "User-Agent: BF-DirectLine\r\nAccept: */*\r\n"
                "Content-Type: application/json; charset=utf-8\r\n"
                f"Content-Length: {length}\r\n\r\n"
            )
            self._parts.append((f'{head}{before}"'.encode(), f'"{after}'.encode()))

    def next(self) -> bytes:
        id = next(self._ids)
        before, after = self._parts[id % self._conversations]
        return b"%b%b%b%d%b" % (self._start, self._voucher(), before, id, after)

    def _voucher(self) -> bytes:
        if not self._vouchers:
            return b""
        renewed, turn = self._number // RENEWED, self._number % AT_ONCE
        self._number += 1
        return self._vouchers[(renewed + turn) % len(self._vouchers)]


class Load:
    """The connections, and what came back."""

    def __init__(self, port: int, connections: int, conversations: int, tokens: Sequence[str] = ()) -> None:
        self._posts = Posts(port, conversations, tokens)
        self._epoll = select.epoll()
        self._sockets: dict[int, socket.socket] = {}
        self._sent: dict[int, float] = {}
        self._partly: dict[int, bytes] = {}
        for _ in range(connections):
            connection = _connect(port)
            self._sockets[connection.fileno()] = connection
            self._epoll.register(connection, select.EPOLLIN)
        self.answers = 0
        self.statuses: Counter[str] = Counter()
        self.seconds: list[float] = []

    def run(self, seconds: float) -> float:
        """Post for so long, and wait for the answers to what is under way; returns how long that took.

        Forgets what was counted before."""
        self.answers, self.statuses, self.seconds = 0, Counter(), []
        began = time.perf_counter()
        end = began + seconds
        for number in self._sockets:
            self._post(number)
        while self._sent:
            for number, _ in self._epoll.poll(10) or _silent(len(self._sent)):
                self._receive(number)
                if number not in self._partly and time.perf_counter() < end:
                    self._post(number)
        return time.perf_counter() - began

    def close(self) -> None:
        self._epoll.close()
        for connection in self._sockets.values():
            connection.close()

    def _post(self, number: int) -> None:
        request = self._posts.next()
        self._sent[number] = time.perf_counter()
        if self._sockets[number].send(request) < len(request):
            raise SystemExit("the server does not read: a request of 2 KB did not fit into its buffer")

    def _receive(self, number: int) -> None:
        got = self._partly.pop(number, b"") + self._sockets[number].recv(65536)
        head, end, body = got.partition(b"\r\n\r\n")
        if not end or len(body) < _length(head):
            if not got or len(got) > 60_000:
                raise SystemExit(f"the server closed a connection, or sends no HTTP: {got[:200]!r}")
            self._partly[number] = got
            return
        self.seconds.append(time.perf_counter() - self._sent.pop(number))
        self.answers += 1
        self.statuses[head[9:12].decode()] += 1


def _length(head: bytes) -> int:
    at = head.lower().find(b"\r\ncontent-length:")
    if at < 0:
        raise SystemExit(f"the server does not say how long its answer is: {head[:500]!r}")
    return int(head[at + 17 :].partition(b"\r\n")[0])


def _connect(port: int) -> socket.socket:
    end = time.monotonic() + CONNECT
    while True:
        try:
            connection = socket.create_connection(("127.0.0.1", port), timeout=5)
        except ConnectionRefusedError:
            if time.monotonic() > end:
                raise
            time.sleep(0.05)
        else:
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            return connection


def _silent(waiting: int) -> list[tuple[int, int]]:
    raise SystemExit(f"the server answered none of {waiting} requests for 10 s")


def must_refuse(port: int, token: str) -> None:
    """Raises SystemExit if the server takes a token whose signature is not that of the service."""
    signed, _, signature = token.rpartition(".")
    load = Load(port, 1, 1, [f"{signed}.{signature[::-1]}"])
    load.run(0)
    load.close()
    if not load.statuses.keys() <= {"401", "403"}:
        raise SystemExit(f"the server checks no tokens: a forged one was answered {dict(load.statuses)}")


def cpu(process: int) -> float:
    """Seconds of CPU that a process has used."""
    with open(f"/proc/{process}/stat") as file:
        fields = file.read().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def main() -> None:
    port, connections, conversations = map(int, sys.argv[1:4])
    warm_up, seconds, server = float(sys.argv[4]), float(sys.argv[5]), int(sys.argv[6])
    tokens: list[str] = []
    if sys.argv[7:]:
        with urlopen(sys.argv[7]) as answer:
            tokens = json.load(answer)
        must_refuse(port, tokens[0])
    load = Load(port, connections, conversations, tokens)
    gc.disable()
    load.run(warm_up)
    before, busy = cpu(server), time.process_time()
    took = load.run(seconds)
    busy, used = time.process_time() - busy, cpu(server) - before
    waited = sorted(load.seconds)
    figures = {
        "answers": load.answers,
        "seconds": took,
        "statuses": dict(load.statuses),
        "requests_per_second": load.answers / took,
        "server_cpu_us": used * 1e6 / load.answers,
        "server_busy": used / took,
        "load_busy": busy / took,
        "ack_ms": {"p50": median(waited) * 1e3, "p99": waited[int(0.99 * (len(waited) - 1))] * 1e3},
    }
    print(json.dumps(figures))


if __name__ == "__main__":
    main()
