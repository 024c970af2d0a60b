"""What a log in Redis is made with, without a server."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from cadenza.durable import MemoryLog, RedisLog, Retention, SQLiteLog
from cadenza.state import StateError

URL = "redis://127.0.0.1:1"


@pytest.fixture(autouse=True)
def no_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("REDIS_CONNECTION_STRING", "REDIS_STREAM_TTL_MINUTES"):
        monkeypatch.delenv(name, raising=False)


@pytest.mark.parametrize("prefix", ["", "a{b", "}"])
def test_a_prefix_is_needed(prefix: str) -> None:
    with pytest.raises(ValueError, match="the bot's own, such as its name"):
        RedisLog(URL, prefix=prefix)


def test_a_server_is_needed() -> None:
    with pytest.raises(ValueError, match="environment variable REDIS_CONNECTION_STRING is not set"):
        RedisLog(prefix="test")
    with pytest.raises(ValueError, match="REDIS_CONNECTION_STRING"):
        RedisLog("", prefix="test")


def test_the_server_may_come_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("REDIS_CONNECTION_STRING", "redis://user:word@somewhere:7000/3")
    assert RedisLog(prefix="test")._link._where == "somewhere:7000"
    assert RedisLog(URL, prefix="test")._link._where == "127.0.0.1:1"


def test_events_live_for_ten_minutes_if_nothing_is_said() -> None:
    assert RedisLog(URL, prefix="test").retention == Retention(data_seconds=600, head_seconds=86_400)


@pytest.mark.parametrize(
    ("minutes", "data", "head"),
    [("30", 1800, 86_400), ("0.5", 30, 86_400), (" 2880 ", 172_800, 172_800), ("", 600, 86_400)],
)
def test_the_life_of_events_may_come_from_the_environment(
    monkeypatch: pytest.MonkeyPatch, minutes: str, data: float, head: float
) -> None:
    monkeypatch.setenv("REDIS_STREAM_TTL_MINUTES", minutes)
    assert RedisLog(URL, prefix="test").retention == Retention(data_seconds=data, head_seconds=head)
    mine = Retention(data_seconds=5)
    assert RedisLog(URL, prefix="test", retention=mine).retention == mine


@pytest.mark.parametrize("minutes", ["0", "-1", "ten", "inf", "nan"])
def test_a_life_that_is_none_is_named(monkeypatch: pytest.MonkeyPatch, minutes: str) -> None:
    monkeypatch.setenv("REDIS_STREAM_TTL_MINUTES", minutes)
    with pytest.raises(ValueError, match=f"REDIS_STREAM_TTL_MINUTES is '{minutes}': it must be a number"):
        RedisLog(URL, prefix="test")


async def test_a_log_that_was_not_started_says_so() -> None:
    log = RedisLog(URL, prefix="test")
    with pytest.raises(StateError, match="The RedisLog is not started"):
        await log.head("run")
    await log.close()


def test_a_url_and_a_client_are_too_much() -> None:
    from redis.asyncio import Redis

    with pytest.raises(ValueError, match="not both"):
        RedisLog(URL, prefix="test", client=Redis())


async def test_a_missing_redis_package_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "redis.asyncio", None)
    with pytest.raises(StateError, match=r"RedisLog needs the package redis: install it by"):
        await RedisLog(URL, prefix="test").start()


@pytest.mark.parametrize(
    "wrong",
    [
        {"data_seconds": float("inf"), "head_seconds": float("inf")},
        {"head_seconds": 1e14},
        {"data_seconds": float("nan")},
        {"compact_seconds": -1.0},
        {"compact_seconds": float("inf")},
        {"max_events": 0},
    ],
)
def test_a_retention_that_no_backend_can_keep_is_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=f"{next(reversed(wrong))}.* must"):
        Retention(**wrong)


@pytest.mark.parametrize("wrong", [3600, 0, {"data_seconds": 3600}])
def test_a_retention_that_is_none_is_refused_by_every_log(wrong: Any, tmp_path: Path) -> None:
    makers: list[Callable[[], object]] = [
        lambda: MemoryLog(retention=wrong),
        lambda: SQLiteLog(tmp_path / "runs.db", retention=wrong),
        lambda: RedisLog(URL, prefix="test", retention=wrong),
    ]
    for make in makers:
        with pytest.raises(TypeError, match=rf"takes a Retention.*, not {type(wrong).__name__}\."):
            make()
