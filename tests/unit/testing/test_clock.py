"""Virtual time: it jumps when nothing is left to do, and only then."""

import asyncio
import socket
import threading
import time
from collections.abc import AsyncIterator
from io import BytesIO

import aiohttp
import pytest
from aiohttp import web
from cadenza.testing import VirtualClock

HOUR = 3600.0


@pytest.fixture
async def echo(clock: VirtualClock) -> AsyncIterator[str]:
    """An HTTP server that answers with what it is sent, `?wait=` seconds later."""

    async def answer(request: web.Request) -> web.Response:
        body = await request.read()
        await asyncio.sleep(float(request.query.get("wait", 0)))
        return web.Response(body=BytesIO(body))

    application = web.Application(client_max_size=64 * 1024 * 1024)
    application.router.add_post("/", answer)
    runner = web.AppRunner(application)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    yield f"http://127.0.0.1:{runner.addresses[0][1]}/"
    await runner.cleanup()


async def test_sleeping_for_an_hour_takes_no_time(clock: VirtualClock) -> None:
    began = time.monotonic()
    await asyncio.sleep(HOUR)
    assert clock.elapsed == pytest.approx(HOUR)
    assert time.monotonic() - began < 1


async def test_sleepers_wake_in_the_order_of_their_times(clock: VirtualClock) -> None:
    woken: list[tuple[float, float]] = []

    async def sleep(seconds: float) -> None:
        await clock.sleep(seconds)
        woken.append((seconds, round(clock.elapsed, 6)))

    await asyncio.gather(*(sleep(seconds) for seconds in (30.0, 0.5, 7.25, 100_000.0)))
    assert woken == [(0.5, 0.5), (7.25, 7.25), (30.0, 30.0), (100_000.0, 100_000.0)]


async def test_time_stands_still_while_callbacks_run(clock: VirtualClock) -> None:
    before = clock.now()
    for _ in range(100):
        await asyncio.sleep(0)
    assert clock.now() == before == asyncio.get_running_loop().time()


async def test_time_outs_are_virtual(clock: VirtualClock) -> None:
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(HOUR):
            await asyncio.Event().wait()
    assert clock.elapsed == pytest.approx(HOUR)


async def test_no_time_passes_while_a_request_is_on_its_way(clock: VirtualClock, echo: str) -> None:
    ticking = asyncio.create_task(asyncio.sleep(HOUR))
    async with aiohttp.ClientSession() as session:
        for _ in range(20):
            async with session.post(echo, data=b"hello") as response:
                assert await response.read() == b"hello"
    assert clock.elapsed == 0
    ticking.cancel()


async def test_no_time_passes_while_much_is_written(clock: VirtualClock, echo: str) -> None:
    ticking = asyncio.create_task(asyncio.sleep(HOUR))
    size = 32 * 1024 * 1024
    async with aiohttp.ClientSession() as session, session.post(echo, data=BytesIO(bytes(size))) as response:
        assert len(await response.read()) == size
    assert clock.elapsed == 0
    ticking.cancel()


async def test_a_server_that_waits_takes_virtual_time(clock: VirtualClock, echo: str) -> None:
    async with aiohttp.ClientSession() as session, session.post(f"{echo}?wait=100") as response:
        assert response.status == 200
    assert clock.elapsed == pytest.approx(100)


async def test_the_time_outs_of_aiohttp_are_virtual(clock: VirtualClock, echo: str) -> None:
    began = time.monotonic()
    timeout = aiohttp.ClientTimeout(total=30)
    async with aiohttp.ClientSession(timeout=timeout) as session:
        with pytest.raises(TimeoutError):
            await session.post(f"{echo}?wait=1000")
    assert clock.elapsed == pytest.approx(30, abs=1)  # aiohttp rounds up to a second
    assert time.monotonic() - began < 5


async def test_bytes_that_nobody_takes_do_not_stop_time_for_good(clock: VirtualClock) -> None:
    ours, theirs = socket.socketpair()
    ours.setblocking(False)
    with theirs:
        _, writer = await asyncio.open_connection(sock=ours)
        writer.write(bytes(16 * 1024 * 1024))
        await asyncio.sleep(HOUR)
        writer.transport.abort()
    assert clock.elapsed == pytest.approx(HOUR)


async def test_no_time_passes_while_a_thread_of_the_executor_works(clock: VirtualClock) -> None:
    ticking = asyncio.create_task(asyncio.sleep(HOUR))
    done = threading.Event()
    asyncio.get_running_loop().call_soon(threading.Timer(0.05, done.set).start)
    assert await asyncio.to_thread(done.wait, 5)
    assert clock.elapsed == 0
    ticking.cancel()


async def test_no_time_passes_while_the_clock_is_held(clock: VirtualClock) -> None:
    loop = asyncio.get_running_loop()
    ticking = asyncio.create_task(asyncio.sleep(HOUR))
    answered = asyncio.Event()
    with clock.hold(), clock.hold():
        threading.Timer(0.05, lambda: loop.call_soon_threadsafe(answered.set)).start()
        await answered.wait()
    assert clock.elapsed == 0
    await ticking
    assert clock.elapsed == pytest.approx(HOUR)


async def test_afterwards_the_loop_has_its_own_time_again() -> None:
    loop = asyncio.get_running_loop()
    before = loop.time()
    async with VirtualClock() as clock:
        assert clock.running
        await asyncio.sleep(HOUR)
        assert loop.time() >= before + HOUR
    assert not clock.running
    assert before <= loop.time() < before + 60
    assert "time" not in vars(loop)
    assert "run_in_executor" not in vars(loop)


async def test_timers_that_still_wait_keep_their_distance() -> None:
    async with VirtualClock():
        await asyncio.sleep(HOUR)
        sleeping = asyncio.create_task(asyncio.sleep(0.05))
        await asyncio.sleep(0)
    began = time.monotonic()
    await sleeping
    assert 0.02 < time.monotonic() - began < 5


async def test_an_error_inside_gives_the_time_back_too() -> None:
    loop = asyncio.get_running_loop()
    with pytest.raises(ZeroDivisionError):
        async with VirtualClock():
            raise ZeroDivisionError
    assert "time" not in vars(loop)


async def test_a_loop_has_one_virtual_clock(clock: VirtualClock) -> None:
    with pytest.raises(RuntimeError, match="another VirtualClock"):
        VirtualClock().start()
    with pytest.raises(RuntimeError, match="running already"):
        clock.start()
