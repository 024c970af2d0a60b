"""The laws of `cadenza.state` as tests, to be run on any backend: ours, and yours.

There are `StoreContract`, `LeasesContract`, `InboxContract` and `PermitsContract`. Derive a class of each
that the backend keeps, in a test module, and give it the fixture `backend`:

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
"""

from .contract import Advance, Contract
from .inbox import InboxContract
from .leases import LeasesContract
from .permits import PermitsContract
from .store import StoreContract

__all__ = ["Advance", "Contract", "InboxContract", "LeasesContract", "PermitsContract", "StoreContract"]
