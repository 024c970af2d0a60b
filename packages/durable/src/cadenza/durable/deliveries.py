"""`Deliveries`: shows runs in Teams, and goes on with the same message after a restart of the bot."""

from __future__ import annotations

import asyncio
import json
import logging
from contextlib import suppress
from typing import TYPE_CHECKING, Annotated, Any
from urllib.parse import quote
from uuid import uuid4

from cadenza.api import SentActivity
from cadenza.apps import App, DependencyMetadata, Plugin, PluginBase, StreamDeliveryError
from cadenza.state import ConflictError, Lease, State, StateError, StateUnavailableError

from .delivery import Delivery, ForeignRecordError, Record
from .errors import DeliveryError

if TYPE_CHECKING:
    from cadenza.agents import TurnFilter
    from cadenza.api import Account, ConversationReference
    from cadenza.apps import PluginStartEvent

    from .run_handle import RunHandle
    from .runner import Runner

__all__ = ["Deliveries"]

logger = logging.getLogger(__name__)

OPEN, DONE = "durable/deliveries/open/", "durable/deliveries/done/"

MOST_BREAKS = 5
"""How often a delivery breaks, by an error that nobody knows, before it is given up. Ours."""

WAIT_SECONDS = 0.5
"""How often a `deliver` looks whether another process is done. Ours."""

STOP_SECONDS = 2.5
"""How long the runs of this process go on when the App stops, which waits five for its plugins. Ours."""

APOLOGY = "Sorry, this answer could not be completed."


@Plugin(name="cadenza.durable.deliveries")
class Deliveries(PluginBase):
    """Shows runs in Teams: a bot that is killed in the midst of an answer goes on with the same message.

        runner = Runner(SQLiteLog("runs.db"), [agent])
        deliveries = Deliveries(runner)
        app = App(state=SQLiteState("bot.db"), plugins=[deliveries])

        @app.on_message
        async def answer(ctx):
            run_id = f"{ctx.activity.conversation.id}/{ctx.activity.id}"
            run = await runner.start(agent, ctx.activity.text, run_id=run_id)
            await deliveries.deliver(run, ctx.conversation_ref)

    Of each delivery the App's state keeps how far it is (delivery.py): before each request and after each
    answer. One whose process is gone is taken over by another one of the bot, or by the same when it is back,
    at most a lease and `look_seconds` after its last sign of life. A turn that does
    nothing else sends nothing on its own account, so that it is run again if its process dies; with a
    `run_id` that is the same then, as one made of the activity's is, `start` and `deliver` find what there
    is.

    `filter`: what of a run's turns is shown; one that looks at the time judges it once more after a restart.
    `apology`: what the answer ends with where the run has failed or was lost and has not apologized itself
    (`Runner.add`), or its events are gone, or the delivery breaks again and again; "" for nothing.
    `keep_seconds`: how long it is known that a run was delivered.

    It opens `runner` when the App is initialized, and closes it when the App stops. A stop leaves the
    messages under way as they are, for the next process. Runs that are made in the process of the bot go on
    for another 2.5 s then, whatever the runner's `shutdown_seconds`: an App waits five for its plugins.

    What it cannot know: of a request whose process died before it read the answer, whether it was carried
    out. Repeating it does no harm but in two cases. The first request of a message is made once more, and so
    one bubble may stay behind, with the first words in it, which Teams ends after two minutes; the answer
    then comes in one message beside it. A message that was not streamed (in groups and channels) is not
    repeated: `deliver` raises DeliveryError then, also in the turn that is run again.
    """

    app: Annotated[App, DependencyMetadata()]

    def __init__(
        self,
        runner: Runner,
        *,
        filter: TurnFilter | None = None,
        apology: str = APOLOGY,
        lease_seconds: float = 10.0,
        look_seconds: float = 1.0,
        keep_seconds: float = 86_400.0,
    ) -> None:
        if not min(lease_seconds, look_seconds, keep_seconds) > 0:
            raise ValueError(
                f"Deliveries(lease_seconds={lease_seconds}, look_seconds={look_seconds}, "
                f"keep_seconds={keep_seconds}): all of them must be more than 0."
            )
        self.runner = runner
        self._filter = filter
        self._apology = apology
        self._lease_seconds = lease_seconds
        self._look_seconds = look_seconds
        self._keep_seconds = keep_seconds
        self._name = uuid4().hex
        self._tasks: dict[str, asyncio.Task[None]] = {}
        """By key: the deliveries in the hands of this process."""
        self._carried: dict[str, Delivery] = {}
        self._foreign: set[str] = set()
        """Keys of records that this version cannot read."""
        self._looking: asyncio.Task[None] | None = None
        self._closed = False

    async def deliver(
        self,
        run: RunHandle | str,
        to: ConversationReference,
        *,
        separator: str = "\n\n",
        ai_label: bool = True,
        recipient: Account | None = None,
    ) -> SentActivity | None:
        """Show `run` (or the one of that id) in a conversation, to its end, in one message.

        Returns that message; None where there was nothing to show, or the user pressed Stop, which cancels
        the run. A run is delivered to a conversation once: whoever calls this again, in whatever process,
        waits for that and gets the same. To cancel this only ends the waiting. `separator`, `ai_label`: as
        `ctx.stream.pipe` takes them. `recipient`: the only person who is to see it, in a chat with others;
        each has a message of their own.

        Raises DeliveryError where the message, or a part of it, did not reach the user, where that is not
        known, and where the bot stops; RunNotFound; StateUnavailableError where the state is away before the
        delivery was written down: afterwards it is waited for. Raises ValueError for a conversation in a
        plugin's channel, which cannot be gone on with: `ctx.stream.pipe(run.attach())` shows the run there.
        """
        state = self._state
        run_id = run if isinstance(run, str) else run.run_id
        parts = [run_id, to.conversation.id, *([] if recipient is None else [recipient.id])]
        key = "/".join(quote(part, safe="") for part in parts)
        if to.channel_id != "msteams" and self._is_of_a_plugin(to.channel_id):
            raise ValueError(
                f"The channel {to.channel_id!r} is a plugin's, and its messages cannot be gone on with after "
                "a restart: show the run with ctx.stream.pipe(run.attach())."
            )
        whom = None if recipient is None else recipient.to_wire()
        record = Record(run_id, to.to_wire(), separator, ai_label, whom)
        self._look()
        entered = False
        while not self._closed:
            try:
                if (done := await state.store.get(DONE + key)) is not None:
                    return _result(json.loads(done.value), run_id)
                if not entered:
                    await self._enter(key, record)
                    entered = True
                task = self._tasks.get(key) or await self._take(key)
                if task is not None:
                    await asyncio.wait({task})
                if task is not None and await state.store.get(DONE + key):
                    continue
            except StateUnavailableError:
                if not entered:
                    raise
            await asyncio.sleep(WAIT_SECONDS)
        raise DeliveryError(
            f"The delivery of the run {run_id!r} is not over, and the bot stops: another process goes on "
            "with it, or this one after its restart."
        )

    # Its life

    async def on_init(self) -> None:
        """Open the runner."""
        await self.runner.start_up()

    async def on_start(self, event: PluginStartEvent) -> None:
        """Begin to look for deliveries whose process is gone."""
        self._look()

    async def on_stop(self) -> None:
        """Leave what is not over, and close the runner."""
        self._closed = True
        if self._looking is not None:
            self._looking.cancel()
            await asyncio.gather(self._looking, return_exceptions=True)
        await asyncio.gather(*(delivery.leave() for delivery in list(self._carried.values())))
        await asyncio.gather(*self._tasks.values(), return_exceptions=True)
        await self.runner.close(seconds=STOP_SECONDS)

    @property
    def _state(self) -> State:
        if not hasattr(self, "app"):
            raise RuntimeError("These Deliveries have no App: give them to one, App(plugins=[deliveries]).")
        return self.app.state

    def _is_of_a_plugin(self, channel_id: str) -> bool:
        ids = (getattr(plugin, "channel_id", None) for plugin in self.app.plugins)
        return any(isinstance(id_, str) and id_.casefold() == channel_id.casefold() for id_ in ids)

    async def _enter(self, key: str, record: Record) -> None:
        """Write the delivery down, unless it was begun, here or elsewhere."""
        store = self._state.store
        if await store.get(OPEN + key) is None:
            await self.runner.status(record.run_id)  # raises RunNotFound
            with suppress(ConflictError):
                await store.put(OPEN + key, record.encode(), expected=0)

    # Taking over

    def _look(self) -> None:
        if self._looking is None and not self._closed:
            self._looking = asyncio.create_task(self._keep_looking())

    async def _keep_looking(self) -> None:
        away = False
        while True:
            try:
                found = {key.removeprefix(OPEN) async for key in self._state.store.keys(OPEN)}
                for key in found - self._tasks.keys():
                    await self._take(key)
                away = False
            except StateError as error:
                if not away:
                    logger.warning("Deliveries that wait for a process cannot be looked for: %s", error)
                away = True
            except Exception:
                logger.exception("Looking for deliveries that wait for a process failed.")
            await asyncio.sleep(self._look_seconds)

    async def _take(self, key: str) -> asyncio.Task[None] | None:
        """Take that delivery into these hands; None while it is in others."""
        asked = asyncio.get_running_loop().time()
        if key in self._foreign:
            return None
        owner = f"{self._name}/{uuid4().hex}"  # of each try, so that not even this process has it twice
        lease = await self._state.leases.acquire(OPEN + key, owner, self._lease_seconds)
        if lease is None:
            return None
        if self._closed:
            await self._state.leases.release(lease)
            return None
        task = self._tasks[key] = asyncio.create_task(self._carry(key, lease, asked))

        def forget(done: asyncio.Task[None]) -> None:
            if self._tasks.get(key) is done:
                del self._tasks[key]

        task.add_done_callback(forget)
        return task

    async def _carry(self, key: str, lease: Lease, asked: float) -> None:
        broken = False
        try:
            found = await self._own(key, lease.owner)
            if found is not None and not self._closed:
                await self._deliver(key, lease, asked, *found)
        except (StateError, asyncio.CancelledError) as error:
            task = asyncio.current_task()
            if isinstance(error, asyncio.CancelledError) and task is not None and task.cancelling():
                raise
            logger.info("A delivery was left, to be gone on with: %s", type(error).__name__)
        except ForeignRecordError as error:
            self._foreign.add(key)
            logger.warning("A delivery is left to another version of Cadenza: its record is %s.", error)
        except Exception:
            broken = True
            logger.exception("A delivery broke. It is begun again in %g s.", self._lease_seconds)
            await self._count_break(key, lease.owner)
        finally:
            self._carried.pop(key, None)
            if not broken:  # else nobody gets it for a while
                try:
                    await self._state.leases.release(lease)
                except StateError:
                    logger.debug("the lease of a delivery was not given back, and ends by itself")

    async def _own(self, key: str, owner: str) -> tuple[Record, int] | None:
        """The record, with our name in it, and its version; None where the delivery is over."""
        store = self._state.store
        while True:
            item = await store.get(OPEN + key)
            if item is None:
                return None
            if await store.get(DONE + key) is not None:
                await store.delete(OPEN + key)
                return None
            record = Record.decode(item.value)
            record.owner = owner
            with suppress(ConflictError):  # who had it until now has saved once more: with that
                return record, await store.put(OPEN + key, record.encode(), expected=item.version)

    async def _count_break(self, key: str, owner: str) -> None:
        """Note it in the record, if that is ours still."""
        store = self._state.store
        try:
            item = await store.get(OPEN + key)
            if item is not None and (record := Record.decode(item.value)).owner == owner:
                record.breaks += 1
                await store.put(OPEN + key, record.encode(), expected=item.version)
        except (StateError, ForeignRecordError) as error:
            logger.debug("that a delivery broke was not noted: %s", type(error).__name__)

    async def _deliver(self, key: str, lease: Lease, asked: float, record: Record, version: int) -> None:
        lost = record.breaks >= MOST_BREAKS
        try:
            delivery = self._carried[key] = Delivery(
                self.app,
                self.runner,
                self._state,
                OPEN + key,
                lease,
                record,
                version,
                asked=asked,
                filter=self._filter,
                apology=self._apology,
            )
            sent = await (delivery.give_up() if lost else delivery.run())
        except StreamDeliveryError as error:
            logger.error("The run %r was not delivered: %s", record.run_id, error)
            await self._settle(key, {"error": str(error)})
            return
        except StateError:
            raise
        except Exception:
            if not lost:
                raise
            logger.exception("The message of a delivery that is given up was not ended.")
        if lost:
            logger.error("The delivery of the run %r is given up: it broke again and again.", record.run_id)
            await self._settle(key, {"error": "it broke again and again, as the log says, and is given up"})
        else:
            end = None if sent is None else {"id": sent.id, "parts": list(sent.parts)}
            await self._settle(key, {"sent": end})

    async def _settle(self, key: str, end: dict[str, Any]) -> None:
        """It is over: first say so, then take it off the list."""
        await self._state.store.put(DONE + key, json.dumps(end).encode(), seconds=self._keep_seconds)
        await self._state.store.delete(OPEN + key)


def _result(end: dict[str, Any], run_id: str) -> SentActivity | None:
    if error := end.get("error"):
        raise DeliveryError(f"The run {run_id!r} was not delivered: {error}")
    sent = end.get("sent")
    return None if sent is None else SentActivity(sent["id"], None, tuple(sent["parts"]))
