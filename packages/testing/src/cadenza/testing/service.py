"""The emulated Teams service: pure, without asyncio and without a clock.

Whoever drives it hands in requests and the time (seconds, never going back) and carries out the `Plan`:

    plan = service.receive(ServiceRequest("POST", "/v3/conversations/a:1/activities", body=activity), now)
    reply = service.apply(plan, now)            # if plan.apply
    answer = service.finish(plan, reply, now)   # what goes to the client

`transport.py` and `server.py` drive it with asyncio; a fuzz test may drive it in virtual time without. The
first step judges the client's conduct (`conduct.py`, `shape.py`), the second one answers from the service's
own state.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from typing import Any, Literal, get_args
from urllib.parse import parse_qsl, unquote

from cadenza.testing import answers, conduct, files, oauth_cards, operations, roster, shape, targeted
from cadenza.testing.buttons import CARD_CONTENT
from cadenza.testing.conversation import Conversation, ConversationType, Stream
from cadenza.testing.directory import ChannelType, Directory, MeetingRecord, TeamRecord, meeting_id
from cadenza.testing.exchange import (
    STREAM_KINDS,
    Ending,
    Exchange,
    Plan,
    Reply,
    ServiceRequest,
    Violation,
    format_transcript,
)
from cadenza.testing.faults import Action, Fault
from cadenza.testing.rates import Arrivals
from cadenza.testing.refreshes import cards_with_refresh, judge_refreshes
from cadenza.testing.rules import SOURCES, Rules
from cadenza.testing.screen import ChangeKind, Screen, ScreenChange, ScreenMessage

__all__ = ["Observer", "Service"]

CardObserver = Callable[[Conversation, ScreenMessage], object]
"""Called with each message that has just been given an OAuth card, or a card that says how it is refreshed,
before anybody sees it."""

Observer = Callable[[Exchange | ScreenChange], object]
"""Called for each exchange once it has ended, and for each change of a screen."""

FIRST_ID = 1_728_640_934_000
"""Ids are counted from here by default: 13 digits, as Teams gives them (teams-protocol.md 1.3)."""

ROUTES_CACHED = 4096

HOME_TENANT = "00000000-0000-0000-0000-000000000001"
"""Where a conversation is, unless said otherwise."""

SENDS: frozenset[str] = STREAM_KINDS | {"plain", "typing", "put", "delete", "reaction"}
"""Requests that count as sent to a conversation."""

NO_CONVERSATION = answers.error(404, "ConversationNotFound", "Conversation not found")
NO_ACTIVITY = answers.STATUS[404]
NO_BODY = answers.error(400, "BadSyntax", "The body is not a JSON object")
NO_ROUTE = answers.error(404, "NotFound", "There is no such resource.")
NO_METHOD = answers.error(405, "MethodNotAllowed", "The resource does not support that method.")


class Service:
    """The service, with every conversation that it knows.

    `keep` bounds what is remembered: the newest exchanges and violations, and the newest messages of each
    conversation (at least that many, at most twice as many). `first_id`: ids are counted from here.
    """

    def __init__(
        self,
        rules: Rules | None = None,
        faults: Iterable[Fault] = (),
        *,
        keep: int = 5_000,
        first_id: int = FIRST_ID,
    ) -> None:
        self.rules = rules or Rules()
        self.transcript: list[Exchange] = []
        self.violations: list[Violation] = []
        self.observers: list[Observer] = []
        self.on_oauth_card: CardObserver | None = None
        self.on_refresh: CardObserver | None = None
        self.connection_of: Callable[[Any], str | None] = lambda url: None
        """Names the OAuth connection that a link to sign in is for."""
        self.conversations: dict[str, Conversation] = {}
        self._directory = Directory(self.conversations)
        self._faults: list[list[Any]] = []  # each with the number of requests that it counted
        self._keep = keep
        self._count = 0  # of requests
        self._ids = first_id
        self.find_problem: Callable[[str | None], str | None] | None = None
        """Says what is wrong with the Authorization header of a request; None: nobody looks at it."""
        self._held: set[Plan] = set()
        self._tenants: dict[str, Arrivals] = {}
        self._routes: dict[str, tuple[tuple[str, ...], Mapping[str, str]]] = {}
        for fault in faults:
            self.add_fault(fault)

    # -- setting the scene

    def add_conversation(
        self,
        id: str | None = None,
        type: ConversationType = "personal",
        *,
        members: Iterable[dict[str, Any]] = (),
        tenant_id: str = HOME_TENANT,
        announced: bool = True,
    ) -> Conversation:
        """Make a conversation that requests may name. `announced`: the bot was told its type. ValueError for
        a type that Teams has not."""
        if type not in get_args(ConversationType):
            known = ", ".join(get_args(ConversationType))
            raise ValueError(f"a conversation cannot be of the type {type!r}: it is one of {known}")
        if id is None:
            id = f"a:{self.new_id()}" if type == "personal" else f"19:{self.new_id()}@thread.tacv2"
        conversation = Conversation(id, type, tenant_id, list(members), announced, Screen(id))
        self.conversations[id] = conversation
        return conversation

    def add_channel(self, team_id: str, name: str, type: ChannelType = "standard") -> Conversation:
        """Make one more channel of a team, whose members it shares; LookupError if there is no such team."""
        team = self.team(team_id)
        channel = self.add_conversation(type="channel", tenant_id=team.tenant_id)
        channel.members, channel.team_id = team.members, team.id
        team.channels.append({"id": channel.id, "name": name, "type": type})
        return channel

    def team(self, id: str) -> TeamRecord:
        """The team with that id, or of the channel with that id; LookupError if there is none.

        A channel that was made by `add_conversation` is the General channel of a team of its own.
        """
        found = self._directory.team(id)
        if found is None:
            raise LookupError(f"no channel {id!r} was added to the service")
        return found

    def meeting(self, conversation_id: str) -> MeetingRecord:
        """The meeting of a group chat or a channel; LookupError if there is no such conversation."""
        found = self._directory.meeting(meeting_id(self.conversation(conversation_id).id))
        if found is None:
            raise LookupError(f"{conversation_id!r} is a personal chat, which has no meeting")
        return found

    def add_inbound(self, conversation_id: str, activity_id: str) -> None:
        """Note what a user said, so that the bot can react to it."""
        inbound = self.conversation(conversation_id).inbound
        inbound[activity_id] = None
        if len(inbound) > self._keep:
            del inbound[next(iter(inbound))]

    def add_fault(self, fault: Fault) -> None:
        """Add a fault; it counts requests from now on, and comes after those that are there."""
        self._faults.append([fault, 0])

    def clear_faults(self) -> None:
        """Forget all faults; what is held stays held."""
        self._faults.clear()

    def new_id(self) -> str:
        """An id that no activity has."""
        self._ids += 1
        return str(self._ids)

    def conversation(self, id: str) -> Conversation:
        """The conversation with that id; a channel's `;messageid=` is ignored. LookupError if unknown."""
        found = self._conversation(id)
        if found is None:
            raise LookupError(f"no conversation {id!r} was added to the service")
        return found

    # -- one request

    def receive(self, request: ServiceRequest, now: float) -> Plan:
        """Take a request in: note it, judge the client's conduct, and ask the faults what becomes of it."""
        self._count += 1
        exchange = Exchange(self._count, now, request.method, request.path)
        exchange.segments, exchange.query = self._route(request.path)
        self._remember(self.transcript, exchange)
        body = self._read_body(request, exchange)
        exchange.refusal = self._refuse_stranger(request, exchange)
        if exchange.refusal is not None:  # at the front door: nothing else looks at the request
            exchange.kind = operations.kind(exchange.method, exchange.segments) or "other"
            return self._plan(exchange)
        self._classify(exchange, body)
        conversation = exchange.conversation
        kind = exchange.kind
        streaming = kind in STREAM_KINDS
        if conversation is not None:
            rules = self.rules
            if streaming:
                if exchange.stream_id is not None:
                    exchange.stream = conversation.streams.get(exchange.stream_id)
                conduct.judge_stream_request(conversation, exchange, now, rules, self._report)
            elif kind == "plain" or kind == "typing":
                conduct.judge_unstreamed(conversation, exchange, now, rules, self._report)
            elif kind == "put" or kind == "delete":
                exchange.stream = conversation.streams.get(exchange.activity_id or "")
                conduct.judge_edit(conversation, exchange, now, rules, self._report)
        arrivals = self._judge_rates(exchange, body, now)
        if exchange.refusal is None and body is not None and (streaming or kind == "plain" or kind == "put"):
            shape.check_size(exchange, body, self.rules, self._report)
            if conversation is not None and body.get("attachments"):
                oauth_cards.judge_cards(
                    conversation, exchange, body, self.rules, self._report, self.connection_of
                )
        plan = self._plan(exchange)
        counts = self.rules.refused_counts or (plan.apply and exchange.refusal is None)
        if counts:
            for one in arrivals:
                one.note(now)
        if streaming and counts and conversation is not None:
            conversation.last_arrival = now
            if exchange.stream is not None:
                exchange.stream.last_arrival = now
        return plan

    def refuse_stranger(self, request: ServiceRequest, now: float) -> Reply | None:
        """For what is no part of the transcript, but needs a token as well: the answer to a request without a
        good one, which is noted as a violation; None if it may pass."""
        return self._refuse_stranger(request, Exchange(0, now, request.method, request.path))

    def apply(self, plan: Plan, now: float) -> Reply:
        """Carry the request out, and return what the service answers."""
        exchange = plan.exchange
        if exchange.refusal is not None:
            return exchange.refusal
        exchange.applied = True
        conversation = exchange.conversation
        if exchange.kind == "team" or exchange.kind == "meeting":
            return self._directory.answer(exchange, self._report)
        if conversation is None:
            return self._create_conversation(exchange, now)
        match exchange.kind:
            case "start":
                return self._start(conversation, exchange, now)
            case "chunk" | "informative" | "final":
                return self._continue(conversation, exchange, now)
            case "plain":
                return self._post(conversation, exchange, now)
            case "typing":
                if conversation.type != "channel":  # 7 "Typing": never shown in channels
                    conversation.screen.typing = True
                    self._changed(conversation, "typing", None, now)
                return answers.NOTHING
            case "put":
                return self._edit(conversation, exchange, now)
            case "delete":
                return self._delete(conversation, exchange, now)
            case "reaction":
                return self._react(conversation, exchange, now)
            case _:
                return roster.members(conversation, exchange)

    def finish(self, plan: Plan, reply: Reply | None, now: float) -> Reply | None:
        """End the exchange; `reply` is what `apply` gave. Returns the answer for the client, if any."""
        exchange = plan.exchange
        conversation = exchange.conversation
        self._held.discard(plan)
        if plan.effect is not None and exchange.stream is not None and conversation is not None:
            self._end(conversation, exchange.stream, plan.effect, now)
        answer = None
        if plan.end == "answer":
            answer = plan.reply or reply
            if answer is None:
                raise RuntimeError(f"request {exchange.index} was neither applied nor given an answer")
            if answer.status >= 400:  # 3: the headers that support asks for
                correlation = {
                    "x-correlating-operationid": f"op-{exchange.index}",
                    "ms-cv": f"cv.{exchange.index}",
                }
                answer = replace(answer, headers={**correlation, **answer.headers})
        if exchange.end is None:
            exchange.end = plan.end
            if answer is not None:
                exchange.status = answer.status
                exchange.answer = answer.body
            if plan.end != "never":  # then it ends when the client gives up
                exchange.answered_at = now
                self._note_end(exchange, answer, now)
        return answer

    def abandon(self, plan: Plan, now: float) -> None:
        """Note that the client gave up waiting for the answer. Nothing happens if the exchange has ended."""
        exchange = plan.exchange
        if exchange.end is None:
            exchange.end = "abandoned"
        elif exchange.end != "never" or exchange.answered_at is not None:
            return
        exchange.answered_at = now
        self._note_end(exchange, None, now)

    def handle(self, request: ServiceRequest, now: float) -> Reply | None:
        """All three steps at one instant, delays and holds left out; None if the client gets no answer."""
        plan = self.receive(request, now)
        reply = self.apply(plan, now) if plan.apply else None
        return self.finish(plan, reply, now)

    def release(self) -> int:
        """Let every answer go that a fault holds until now; returns how many there were."""
        held, self._held = self._held, set()
        for plan in held:
            plan.release()
        return len(held)

    # -- the user

    def press_stop(self, conversation_id: str, now: float) -> bool:
        """The user presses Stop; nothing is told to the bot. False if nothing streams: there is no button."""
        conversation = self.conversation(conversation_id)
        stream = self._open_stream(conversation, now)
        if stream is None:
            return False
        self._end(conversation, stream, "stopped", now)
        return True

    def screen(self, conversation_id: str, now: float | None = None, *, viewer: str | None = None) -> Screen:
        """What the users see; with `now`, streams and targeted messages whose time is over have expired.

        `viewer`: the id of a member; what is targeted at others is left out then.
        """
        conversation = self.conversation(conversation_id)
        if now is not None:
            for stream in conversation.streams.values():
                self._expire(conversation, stream, now)
            self._expire_targeted(conversation, now)
        return conversation.screen if viewer is None else conversation.screen.seen_by(viewer)

    def add_reaction(self, conversation_id: str, message_id: str, type: str, now: float) -> ScreenMessage:
        """A user reacts to a message of the bot; LookupError if there is none with that id."""
        conversation = self.conversation(conversation_id)
        message = conversation.screen.message(message_id)
        message.reactions.append(type)
        self._changed(conversation, "reaction", message, now)
        return message

    def remove_reaction(self, conversation_id: str, message_id: str, type: str, now: float) -> ScreenMessage:
        """A user takes a reaction back; LookupError if there is no such message or reaction."""
        conversation = self.conversation(conversation_id)
        message = conversation.screen.message(message_id)
        if type not in message.reactions:
            raise LookupError(f"message {message_id} has no reaction {type!r}; it has {message.reactions}")
        message.reactions.remove(type)
        self._changed(conversation, "reaction", message, now)
        return message

    def reveal(self, conversation_id: str, message: ScreenMessage, member_id: str, now: float) -> None:
        """Show a member the OAuth card of a message that was hidden from that one."""
        message.hidden_from -= {member_id}
        self._changed(self.conversation(conversation_id), "edited", message, now)

    def replace_card(
        self,
        conversation_id: str,
        message_id: str,
        member_id: str,
        old: dict[str, Any] | None,
        new: dict[str, Any],
        now: float,
    ) -> None:
        """Show one member a card in the place of `old`, that very object on the screen (None: of every card),
        until the message is edited.

        In a personal chat that is the message for all who look. Nothing happens if the message is gone.
        """
        conversation = self.conversation(conversation_id)
        message = conversation.messages.get(message_id)
        if message is None or message.deleted:
            return
        attachments = [
            {"contentType": CARD_CONTENT, "content": dict(new)}
            if one.get("contentType") == CARD_CONTENT and (old is None or one.get("content") is old)
            else one
            for one in message.views.get(member_id, message.attachments)
        ]
        if conversation.type == "personal":
            message.attachments = attachments
        else:
            message.views[member_id] = attachments
        self._changed(conversation, "edited", message, now)

    def show(self, conversation_id: str, activity: dict[str, Any], now: float) -> ScreenMessage:
        """Show a message that came in the answer to an activity (`deliveryMode: expectReplies`)."""
        conversation = self.conversation(conversation_id)
        exchange = Exchange(0, now, "POST", "(answer)", activity, conversation_id=conversation_id)
        shape.read_fields(exchange, activity, self._report)
        message = self._add_message(conversation, "message", now)
        if exchange.refusal is None:
            self._fill(conversation, message, exchange, activity)
        self._changed(conversation, "new", message, now)
        return message

    def report(self, rule: str, source: str, detail: str, exchange: Exchange) -> None:
        """Note a violation of a rule that is not in teams-protocol.md (of no request to the service, if its
        `exchange` has index 0)."""
        self._remember(self.violations, Violation(rule, source, detail, exchange))

    def format_transcript(self) -> str:
        """Every request and every violation, as lines to read."""
        return format_transcript(self.transcript, self.violations)

    # -- reading a request

    def _route(self, path: str) -> tuple[tuple[str, ...], Mapping[str, str]]:
        """The decoded segments of a path, and its query."""
        found = self._routes.get(path)
        if found is None:
            raw, _, query = path.partition("?")
            segments = tuple(
                unquote(segment) for segment in raw.removeprefix("/").removesuffix("/").split("/")
            )
            if len(self._routes) >= ROUTES_CACHED:
                self._routes.clear()
            found = self._routes[path] = segments, dict(parse_qsl(query))
        return found

    def _read_body(self, request: ServiceRequest, exchange: Exchange) -> dict[str, Any] | None:
        body = request.body
        if body is None or isinstance(body, dict):
            exchange.body = body
            return body
        if not body:
            return None
        try:
            value = json.loads(body)
        except (ValueError, RecursionError):
            exchange.body = body.decode(errors="replace")
            return None
        exchange.body = value
        return value if isinstance(value, dict) else None

    def _classify(self, exchange: Exchange, body: dict[str, Any] | None) -> None:
        """Find kind, conversation and activity; refuse what has no route, no body or no conversation."""
        segments = exchange.segments
        in_conversation = len(segments) > 2 and segments[:2] == ("v3", "conversations")
        if in_conversation:
            exchange.conversation_id = segments[2]
            exchange.conversation = self._conversation(segments[2])
        kind = operations.kind(exchange.method, segments)
        if kind is None:
            missing = NO_METHOD if operations.takes_another_method(segments) else NO_ROUTE
            detail = f"{exchange.method} {exchange.path} is no operation"
            self._refuse(exchange, "route", detail, missing)
            return
        exchange.kind = kind
        if in_conversation and len(segments) > 4:
            exchange.activity_id = segments[4]
        if body is None and (exchange.method == "POST" or kind == "put"):
            self._refuse(exchange, "malformed", "the body is not a JSON object", NO_BODY)
        elif body is not None:
            self._read_shape(exchange, body)
        if in_conversation and exchange.conversation is None:
            exchange.refusal = NO_CONVERSATION

    def _read_shape(self, exchange: Exchange, body: dict[str, Any]) -> None:
        match exchange.kind:
            case "plain":
                shape.read_activity(exchange, body, self.rules, self._report)
            case "put":
                shape.read_edit(exchange, body, self._report)
            case "create" if isinstance(body.get("activity"), dict):
                shape.read_fields(exchange, body["activity"], self._report)

    def _judge_rates(self, exchange: Exchange, body: dict[str, Any] | None, now: float) -> list[Arrivals]:
        """Refuse what comes too often, whatever it is; return where the request counts."""
        rules, conversation = self.rules, exchange.conversation
        counted: list[tuple[str, Arrivals]] = []
        if conversation is not None and exchange.kind in SENDS and rules.conversation_rates:
            if conversation.arrivals is None:
                conversation.arrivals = Arrivals(rules.conversation_rates)
            counted.append(("this conversation", conversation.arrivals))
        if rules.tenant_requests_per_second is not None and (conversation or exchange.kind == "create"):
            tenant = conversation.tenant_id if conversation else _tenant(body)
            if tenant not in self._tenants:
                self._tenants[tenant] = Arrivals([(rules.tenant_requests_per_second, 1.0)])
            counted.append((f"tenant {tenant}", self._tenants[tenant]))
        for where, arrivals in counted:
            wait, window = arrivals.wait(now)
            if wait > 0:
                self._report(exchange, "rate-limit", f"{where} takes {window}: {wait:.3f} s too soon")
                exchange.refusal = answers.throttled(math.ceil(wait), rules.throttle_body)
        return [arrivals for _, arrivals in counted]

    def _conversation(self, id: str) -> Conversation | None:
        found = self.conversations.get(id)
        if found is None and ";messageid=" in id:
            found = self.conversations.get(id.partition(";messageid=")[0])
        return found

    def _strike(self, exchange: Exchange) -> Action | None:
        """The action of the first fault that matches; every fault counts the request."""
        chosen: Action | None = None
        for entry in self._faults:
            fault: Fault = entry[0]
            if fault.concerns(exchange):
                entry[1] += 1
                if chosen is None and fault.first <= entry[1] <= fault.last:
                    chosen = fault.action if fault.decide is None else fault.decide(exchange)
        return chosen

    def _refuse_stranger(self, request: ServiceRequest, exchange: Exchange) -> Reply | None:
        if self.find_problem is None:
            return None
        given = (value for name, value in request.headers.items() if name.lower() == "authorization")
        problem = self.find_problem(next(given, None))
        if problem is None:
            return None
        path = exchange.path.partition("?")[0]  # codes of sign-ins are in queries
        self._report(exchange, "token", f"{exchange.method} {path}: {problem}")
        return answers.UNAUTHORIZED

    def _plan(self, exchange: Exchange) -> Plan:
        """What becomes of a request: what the faults say, or else just an answer."""
        plan = Plan(exchange)
        action = self._strike(exchange) if self._faults else None
        if action is not None:
            exchange.fault = action.name
            plan.delay = action.delay
            plan.apply = action.applied
            plan.hold = action.hold
            plan.reply = action.reply
            plan.end = action.end
            plan.effect = action.effect
            if plan.held:
                self._held.add(plan)
        return plan

    # -- streams

    def _start(self, conversation: Conversation, exchange: Exchange, now: float) -> Reply:
        rules = self.rules
        if conversation.type != "personal":
            if rules.group_refusal == "403":
                return answers.FORBIDDEN["not_allowed"]
            return answers.BAD_REQUESTS["not_enabled" if rules.group_refusal == "400" else "not_enabled_2024"]
        if self._open_stream(conversation, now) is not None and rules.second_stream == "refuse":
            return answers.FORBIDDEN["not_allowed"]
        message = self._add_message(conversation, "streaming", now)
        stream = Stream(message, now, last_arrival=exchange.time)
        conversation.streams[message.id] = stream
        conversation.open = exchange.stream = stream
        exchange.stream_id = message.id
        if exchange.informative:
            message.informative = exchange.text
        else:
            stream.content = True
            message.text = exchange.text
        body: dict[str, Any] = exchange.body
        message.text_format = body.get("textFormat")
        message.entities = shape.other_entities(body)
        self._changed(conversation, "new", message, now)
        return answers.created(message.id)

    def _continue(self, conversation: Conversation, exchange: Exchange, now: float) -> Reply:
        stream = exchange.stream
        if stream is None:
            return NO_ACTIVITY
        refusal = self._refusal_of_state(conversation, stream, now)
        if refusal is not None:
            return refusal
        if exchange.kind == "final":
            return self._finalize(conversation, stream, exchange, now)
        message = stream.message
        sequence = exchange.sequence or 0
        if sequence <= stream.sequence:
            return answers.stale(self.rules.stale_body)
        body: dict[str, Any] = exchange.body
        if exchange.kind == "informative":
            stream.sequence = sequence
            if stream.content:
                if self.rules.late_informative == "refuse":
                    return answers.error(
                        400, "BadRequest", "Informative updates end where the content begins"
                    )
                return answers.ACCEPTED  # 1.4: discarded
            message.informative = exchange.text
            message.text_format = body.get("textFormat")
            self._changed(conversation, "informative", message, now)
            return answers.ACCEPTED
        if not conduct.grows(exchange.text, message.text, self.rules):
            return answers.FORBIDDEN["prefix"]
        stream.sequence = sequence
        stream.content = True
        message.informative = None
        message.text = exchange.text
        message.text_format = body.get("textFormat")
        message.entities = shape.other_entities(body)
        self._changed(conversation, "text", message, now)
        return answers.ACCEPTED

    def _finalize(self, conversation: Conversation, stream: Stream, exchange: Exchange, now: float) -> Reply:
        message = stream.message
        text = exchange.text
        if text and self.rules.final_text == "grow" and not conduct.grows(text, message.text, self.rules):
            return answers.FORBIDDEN["prefix"]
        self._fill(conversation, message, exchange, exchange.body)
        self._end(conversation, stream, "final", now)
        return answers.ACCEPTED

    def _refusal_of_state(self, conversation: Conversation, stream: Stream, now: float) -> Reply | None:
        self._expire(conversation, stream, now)
        match stream.message.state:
            case "streaming":
                return None
            case "stopped":
                return answers.FORBIDDEN[self.rules.stop_spelling]
            case "expired":
                if self.rules.expired_status == 429:
                    return conduct.throttled(self.rules)
                return answers.FORBIDDEN["expired"]
            case _:
                return answers.FORBIDDEN["completed"]

    def _open_stream(self, conversation: Conversation, now: float) -> Stream | None:
        """The open stream of the chat, after those whose time is over have expired."""
        stream = conversation.open
        if stream is not None:
            self._expire(conversation, stream, now)
        return conversation.open

    def _expire(self, conversation: Conversation, stream: Stream, now: float) -> None:
        if stream.message.state == "streaming" and now - stream.opened >= self.rules.stream_lifetime:
            self._end(conversation, stream, "expired", now)

    def _end(self, conversation: Conversation, stream: Stream, state: Ending, now: float) -> None:
        if stream.message.state != "streaming":
            return
        stream.message.state = state
        stream.message.informative = None
        if conversation.open is stream:
            conversation.open = None
        self._changed(conversation, state, stream.message, now)

    # -- messages

    def _post(self, conversation: Conversation, exchange: Exchange, now: float) -> Reply:
        body: dict[str, Any] = exchange.body
        recipient = None
        if targeted.is_targeted(exchange):
            found = targeted.read_recipient(conversation, exchange, body, self._report)
            if isinstance(found, Reply):
                return found
            recipient = found
        message = self._add_message(conversation, "message", now)
        if recipient is not None:
            message.targeted_to = recipient
            conversation.targeted.append(message)
        message.thread = (exchange.conversation_id or "").partition(";messageid=")[2] or None
        self._fill(conversation, message, exchange, exchange.body)
        self._changed(conversation, "new", message, now)
        return answers.created(message.id)

    def _edit(self, conversation: Conversation, exchange: Exchange, now: float) -> Reply:
        message = self._message(conversation, exchange, now)
        if message is None:
            return NO_ACTIVITY
        refusal = targeted.judge_change(message, exchange, self.rules, self._report)
        if refusal is not None:
            return refusal
        if exchange.stream is not None:
            self._expire(conversation, exchange.stream, now)
            switches = {
                "streaming": self.rules.put_while_open,
                "expired": self.rules.put_after_expiry,
                "final": self.rules.put_after_final,
                "stopped": "refuse",
            }
            if switches.get(message.state) == "refuse":
                return self._refusal_of_state(conversation, exchange.stream, now) or answers.error(
                    400, "BadRequest", "The message is still streaming"
                )
        self._fill(conversation, message, exchange, exchange.body)
        message.edited = True
        self._changed(conversation, "edited", message, now)
        return Reply(200, {"id": message.id})

    def _delete(self, conversation: Conversation, exchange: Exchange, now: float) -> Reply:
        message = self._message(conversation, exchange, now)
        if message is None:
            return NO_ACTIVITY
        refusal = targeted.judge_change(message, exchange, self.rules, self._report)
        if refusal is not None:
            return refusal
        if exchange.stream is not None:
            self._expire(conversation, exchange.stream, now)
        if message.state == "streaming":
            if self.rules.delete_while_open == "refuse":
                return answers.error(400, "BadRequest", "The message is still streaming")
            return answers.OK  # 1.6: the bubble stays
        message.deleted = True
        self._changed(conversation, "deleted", message, now)
        return answers.OK

    def _react(self, conversation: Conversation, exchange: Exchange, now: float) -> Reply:
        id, type_ = exchange.segments[4], exchange.segments[6]
        message = self._message(conversation, exchange, now)
        if message is None and id not in conversation.inbound:
            return NO_ACTIVITY
        reactions = conversation.screen.reactions.setdefault(id, []) if message is None else message.reactions
        if exchange.method == "PUT" and type_ not in reactions:
            reactions.append(type_)
        elif exchange.method == "DELETE" and type_ in reactions:
            reactions.remove(type_)
        self._changed(conversation, "reaction", message, now)
        return answers.OK

    def _add_message(
        self, conversation: Conversation, state: Literal["streaming", "message"], now: float
    ) -> ScreenMessage:
        message = ScreenMessage(self.new_id(), state, created_at=now)
        screen = conversation.screen
        screen.typing = False
        screen.messages.append(message)
        conversation.messages[message.id] = message
        if len(screen.messages) >= 2 * self._keep:
            for old in screen.messages[: self._keep]:
                conversation.messages.pop(old.id, None)
                conversation.streams.pop(old.id, None)
            del screen.messages[: self._keep]
        return message

    def _message(self, conversation: Conversation, exchange: Exchange, now: float) -> ScreenMessage | None:
        """The message that the path names, unless it is deleted."""
        self._expire_targeted(conversation, now)
        message = conversation.messages.get(exchange.activity_id or "")
        return None if message is None or message.deleted else message

    def _expire_targeted(self, conversation: Conversation, now: float) -> None:
        if conversation.targeted:
            for message in targeted.expire(conversation, now, self.rules):
                self._changed(conversation, "deleted", message, now)

    def _fill(
        self, conversation: Conversation, message: ScreenMessage, exchange: Exchange, body: dict[str, Any]
    ) -> None:
        message.text = exchange.text
        message.text_format = body.get("textFormat")
        message.attachments = [_own(one) for one in body.get("attachments") or ()]
        message.entities = shape.other_entities(body)
        message.suggested_actions = body.get("suggestedActions")
        message.channel_data = body.get("channelData")
        message.activity = body
        message.hidden_from = frozenset()
        message.views = {}
        shape.judge_cards(exchange, message.attachments, self._report)
        if message.attachments and cards_with_refresh(message.attachments):
            judge_refreshes(exchange, message.attachments, self._report)
            if self.on_refresh is not None:
                self.on_refresh(conversation, message)
        if self.on_oauth_card is not None and message.attachments and message.oauth_cards:
            self.on_oauth_card(conversation, message)
        if message.consents and conversation.type != "personal" and conversation.announced:
            where = f"a consent card for a file in a {conversation.type} conversation"
            self.report("file-consent", files.SOURCES["file-consent"], where, exchange)

    # -- conversations and members

    def _create_conversation(self, exchange: Exchange, now: float) -> Reply:
        body: dict[str, Any] = exchange.body
        members = [member for member in body.get("members") or [] if isinstance(member, dict)]
        channel_data = body.get("channelData")
        channel = channel_data.get("channel") if isinstance(channel_data, dict) else None
        tenant = _tenant(body)
        if isinstance(channel, dict):
            conversation = self._conversation(str(channel.get("id")))
            if conversation is None:
                return NO_CONVERSATION
        elif not members:
            return answers.error(400, "Bad Argument", "A conversation needs members")
        else:
            existing = None if body.get("isGroup") else self._chat_with(members[0])
            conversation = existing or self.add_conversation(
                type="groupChat" if body.get("isGroup") else "personal", members=members, tenant_id=tenant
            )
        answer: dict[str, Any] = {"id": conversation.id}
        if isinstance(body.get("activity"), dict):
            message = self._add_message(conversation, "message", now)
            self._fill(conversation, message, exchange, body["activity"])
            self._changed(conversation, "new", message, now)
            answer["activityId"] = message.id
            if isinstance(channel, dict):
                answer["id"] = f"{conversation.id};messageid={message.id}"
        return Reply(201, answer)

    def _chat_with(self, member: dict[str, Any]) -> Conversation | None:
        """The personal chat with that member: Teams has one, and gives its id again."""
        for conversation in self.conversations.values():
            if conversation.type == "personal" and roster.find(conversation.members, member.get("id")):
                return conversation
        return None

    # -- keeping the books

    def _note_end(self, exchange: Exchange, answer: Reply | None, now: float) -> None:
        if exchange.conversation is not None:
            conduct.note_answer(exchange.conversation, exchange, answer, now)
        for observer in self.observers:
            observer(exchange)

    def _changed(
        self, conversation: Conversation, change: ChangeKind, message: ScreenMessage | None, now: float
    ) -> None:
        if self.observers:
            event = ScreenChange(now, conversation.id, change, message)
            for observer in self.observers:
                observer(event)

    def _report(self, exchange: Exchange, rule: str, detail: str) -> None:
        self._remember(self.violations, Violation(rule, SOURCES[rule], detail, exchange))

    def _refuse(self, exchange: Exchange, rule: str, detail: str, reply: Reply) -> None:
        self._report(exchange, rule, detail)
        if exchange.refusal is None:
            exchange.refusal = reply

    def _remember(self, memory: list[Any], item: object) -> None:
        memory.append(item)
        if len(memory) >= 2 * self._keep:
            del memory[: self._keep]


def _own(attachment: dict[str, Any]) -> dict[str, Any]:
    """An attachment with a card of its own: which object a card is says where it stands."""
    card = attachment.get("content")
    return {**attachment, "content": dict(card)} if isinstance(card, dict) else attachment


def _tenant(body: dict[str, Any] | None) -> str:
    """The tenant in which a conversation is to be created."""
    return str((body or {}).get("tenantId") or HOME_TENANT)
