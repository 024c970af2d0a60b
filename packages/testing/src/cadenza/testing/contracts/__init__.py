"""The laws of `cadenza.state`, `StreamerProtocol` and `StreamLog` as tests, to be run on any backend: ours,
and yours.

For state there are `StoreContract`, `LeasesContract`, `InboxContract` and `PermitsContract`. Derive a class
of each that the backend keeps, in a test module, and give it the fixture `backend`:

    from cadenza.testing.contracts import InboxContract, LeasesContract, StoreContract

    class TestMyStore(StoreContract):
        @pytest.fixture
        async def backend(self):
            state = MyState()
            await state.start()
            yield state.store
            await state.close()

    class TestMyInbox(InboxContract):
        @pytest.fixture
        async def backend(self):
            state = MyState(claim_seconds=self.claim_seconds)
            ...

Each test begins with an empty backend. The tests are coroutines: run them by pytest-asyncio, in its mode
"auto".

- Time. Tests that wait for something to run out count in units: `unit`, in seconds, is 0.1, and they really
  wait. If the backend's clock can be moved, override the fixture `advance` with one that returns
  `async def advance(seconds)`, and make the unit long, say 60: then nobody waits, and a slow machine does no
  harm. The random tests pass time only then.
- Several processes. Override the fixture `peer` with one that returns a second client of the same data.
- `claim_seconds` is what the inbox must be set up with.

For streamers there is `StreamerContract` (it needs cadenza-apps). Its `backend` is a `StreamerHarness`: a new
streamer, what its user has on the screen, the user's Stop button, and a way to let work under way be done:

    from cadenza.testing.contracts import ShownMessage, StreamerContract

    class MyScreen:
        def __init__(self):
            self.screen = FakeScreen()
            self.streamer = MyStreamer(self.screen)

        async def shown(self):
            return [ShownMessage(one.text, one.line, one.complete) for one in self.screen.messages]

        async def press_stop(self):
            self.screen.stop_button.press()

        async def settle(self):
            await self.streamer.idle()

    class TestMyStreamer(StreamerContract):
        @pytest.fixture
        async def backend(self):
            yield MyScreen()

No test of it sleeps. A streamer that waits between two updates of the screen is best tested in virtual time
(`cadenza.testing.VirtualClock`), where `settle` may be `asyncio.sleep`.

For the logs of durable streams there is `StreamLogContract` (it needs cadenza-durable, and is imported when
it is used). Its `backend` is an empty log that was started, and was made with the `retention` of the test:

    class TestMyLog(StreamLogContract):
        @pytest.fixture
        async def backend(self):
            log = MyLog(retention=self.retention)
            await log.start()
            yield log
            await log.close()

`unit`, `advance` and `peer` are as for state.
"""

from typing import TYPE_CHECKING, Any

from .contract import Advance, Contract
from .inbox import InboxContract
from .leases import LeasesContract
from .permits import PermitsContract
from .store import StoreContract
from .streamer import ShownMessage, StreamerContract, StreamerHarness

if TYPE_CHECKING:
    from .stream_log import StreamLogContract

__all__ = [
    "Advance",
    "Contract",
    "InboxContract",
    "LeasesContract",
    "PermitsContract",
    "ShownMessage",
    "StoreContract",
    "StreamLogContract",
    "StreamerContract",
    "StreamerHarness",
]


def __getattr__(name: str) -> Any:
    if name == "StreamLogContract":  # the others do without cadenza-durable
        from .stream_log import StreamLogContract

        return StreamLogContract
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
