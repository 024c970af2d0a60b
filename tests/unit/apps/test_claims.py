"""What a turn may claim: keys and lanes of activities, and how long a lease can be used."""

from math import inf
from typing import Any

import pytest
from cadenza.apps.turns.claims import (
    BESIDE,
    LEASE_SECONDS,
    MOST_KEY,
    REQUEST_SECONDS,
    Claims,
    claim_of,
    forgets,
)
from cadenza.state import Lease
from hypothesis import given, settings, strategies as st

MESSAGE: dict[str, Any] = {
    "type": "message",
    "id": "1700000000000",
    "timestamp": "2026-11-21T09:00:00.000Z",
    "channelId": "msteams",
    "conversation": {"id": "19:abc@thread.v2"},
    "text": "Hello",
}
ODD: list[Any] = [None, 7, 1.5, True, [], ["x"], {}, {"id": 7}, {"id": None}, b"x", {"eventType": ["x"]}]


def key(**fields: Any) -> str:
    return claim_of({**MESSAGE, **fields}).key


def lease(token: int = 1, name: str = "a", owner: str = "P") -> Lease:
    return Lease(name, owner, token, 45.0)


# Keys


def test_an_activity_that_is_delivered_again_has_the_same_key() -> None:
    assert key() == key(
        text="other", serviceUrl="https://elsewhere", localTimestamp="x", recipient={"id": "b"}
    )


@pytest.mark.parametrize(
    "fields",
    [
        {"id": "1700000000001"},
        {"timestamp": "2026-11-21T09:00:01.000Z"},
        {"channelId": "webchat"},
        {"conversation": {"id": "19:other@thread.v2"}},
        {"type": "messageUpdate"},
        {"name": "task/fetch"},
        {"channelData": {"eventType": "editMessage"}},
    ],
)
def test_another_activity_has_another_key(fields: dict[str, Any]) -> None:
    assert key(**fields) != key()


def test_each_edit_of_a_message_has_a_key_of_its_own() -> None:
    edit = {"type": "messageUpdate", "channelData": {"eventType": "editMessage"}}
    first, second = (key(**edit, timestamp=f"2026-11-21T09:0{n}:00Z") for n in (1, 2))
    assert len({key(), first, second}) == 3


def test_a_name_comes_before_an_event_type() -> None:
    assert key(name="n", channelData={"eventType": "e"}) == key(name="n")


EXCHANGE: dict[str, Any] = {
    "type": "invoke",
    "name": "signin/tokenExchange",
    "from": {"id": "29:adele"},
    "value": {"id": "x1", "token": "secret"},
}


def test_a_token_exchange_is_known_by_its_id_whatever_client_sends_it() -> None:
    exchange = EXCHANGE
    assert key(**exchange) == key(**{**exchange, "id": "f:other", "timestamp": "later"})
    assert key(**exchange) != key(**{**exchange, "value": {"id": "x2"}})
    assert key(**exchange) != key(**exchange, channelId="webchat")
    assert key(**exchange) == key(**exchange, conversation={"id": "a:another chat of the same user"})
    assert "secret" not in key(**exchange)


@pytest.mark.parametrize("sender", [{"id": "29:megan"}, {}, None, {"id": 7}, "29:adele"])
def test_a_token_exchange_of_another_user_is_another_one(sender: Any) -> None:
    assert key(**EXCHANGE) != key(**{**EXCHANGE, "from": sender})


def test_a_message_that_calls_itself_a_token_exchange_is_a_message() -> None:
    claim = claim_of({**MESSAGE, **EXCHANGE, "type": "message"})
    assert claim.ordered
    assert claim.key != key(**EXCHANGE)


@pytest.mark.parametrize("status", [None, 300, 400, 404, 412, 500, 503])
def test_a_token_exchange_that_failed_may_be_delivered_again(status: int | None) -> None:
    assert forgets({**MESSAGE, **EXCHANGE}, status)


@pytest.mark.parametrize("status", [200, 201, 299])
def test_a_token_exchange_that_was_made_may_not(status: int) -> None:
    assert not forgets({**MESSAGE, **EXCHANGE}, status)


@pytest.mark.parametrize(
    "fields",
    [
        {"type": "message"},
        {"name": "signin/verifyState"},
        {"name": None},
        {"value": {"id": ""}},
        {"value": ["x1"]},
    ],
    ids=repr,
)
@pytest.mark.parametrize("status", [None, 200, 412])
def test_the_claim_of_anything_else_stays(fields: dict[str, Any], status: int | None) -> None:
    assert not forgets({**MESSAGE, **EXCHANGE, **fields}, status)


@pytest.mark.parametrize("value", [None, {}, {"id": ""}, {"id": 7}, "x1"])
def test_a_token_exchange_without_an_id_of_its_own_is_known_like_any_invoke(value: Any) -> None:
    exchange = {"type": "invoke", "name": "signin/tokenExchange", "value": value}
    assert key(**exchange) == key(**exchange)
    assert key(**exchange) != key(**{**exchange, "id": "f:other"})


def test_a_value_id_says_nothing_in_other_activities() -> None:
    assert key(value={"id": "x1"}) == key(value={"id": "x2"})
    other = {"type": "invoke", "name": "signin/verifyState"}
    assert key(**other, value={"id": "x1"}) == key(**other, value={"id": "x2"})


@pytest.mark.parametrize("missing", [None, "", 7, ["x"], {}])
def test_an_activity_without_an_id_has_a_key_that_nothing_else_has(missing: Any) -> None:
    assert key(id=missing) != key(id=missing)


@pytest.mark.parametrize("name", sorted({*MESSAGE, "name", "channelData", "value"} - {"id"}))
@pytest.mark.parametrize("odd", ODD, ids=repr)
def test_fields_of_odd_types_are_as_good_as_none(name: str, odd: Any) -> None:
    without = {field: value for field, value in MESSAGE.items() if field != name}
    assert claim_of({**without, name: odd}) == claim_of(without)


@settings(deadline=None)  # the first example pays for the imports
@given(
    st.dictionaries(
        st.sampled_from([*MESSAGE, "name", "value", "channelData"]),
        st.recursive(
            st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
            lambda inner: st.lists(inner) | st.dictionaries(st.sampled_from(["id", "eventType", "x"]), inner),
        ),
    )
)
def test_whatever_is_sent_it_has_a_key_and_a_lane(activity: dict[str, Any]) -> None:
    claim = claim_of(activity)
    assert claim.key
    assert claim.lane
    assert len(claim.key) <= MOST_KEY + 100
    if activity.get("id") and isinstance(activity["id"], str):
        assert claim_of(activity) == claim


_hostile = st.text(alphabet="a/~01\ud800é", max_size=6) | st.text(max_size=200)


@settings(deadline=None)  # the first example pays for the imports
@given(*[st.tuples(*[_hostile] * 6)] * 2)
def test_different_activities_have_different_keys_whatever_their_ids_hold(
    one: tuple[str, ...], other: tuple[str, ...]
) -> None:
    def claim(fields: tuple[str, ...]) -> str:
        channel, conversation, kind, name, id_, when = fields
        return claim_of(
            {
                "channelId": channel,
                "conversation": {"id": conversation},
                "type": kind,
                "name": name,
                "id": f"x{id_}",  # never empty
                "timestamp": when,
            }
        ).key

    assert (claim(one) == claim(other)) == (one == other)


@settings(deadline=None)  # the first example pays for the imports
@given(*[st.tuples(_hostile, _hostile)] * 2)
def test_different_conversations_have_different_lanes_whatever_their_ids_hold(
    one: tuple[str, str], other: tuple[str, str]
) -> None:
    def lane(fields: tuple[str, str]) -> str:
        return claim_of({**MESSAGE, "channelId": fields[0], "conversation": {"id": f"x{fields[1]}"}}).lane

    assert (lane(one) == lane(other)) == (one == other)


def test_a_part_cannot_reach_into_the_next() -> None:
    assert key(channelId="a/b", conversation={"id": "c"}) != key(channelId="a", conversation={"id": "b/c"})
    assert key(channelId="a~1b") != key(channelId="a/b")
    assert key(channelId="a~", conversation={"id": "1b"}) != key(channelId="a", conversation={"id": "/b"})


def test_an_activity_cannot_take_the_key_of_a_token_exchange_or_of_one_without_id() -> None:
    """Such a key names its kind, and then the channel; every other names channel and conversation first."""
    exchange = claim_of(
        {"type": "invoke", "name": "signin/tokenExchange", "value": {"id": "x"}, "channelId": "c"}
    ).key
    forged = claim_of({**MESSAGE, "channelId": "exchange", "conversation": {"id": "c"}}).key
    assert exchange.count("/") != forged.count("/")
    assert claim_of({}).key.count("/") != forged.count("/")


def test_a_long_key_is_hashed_and_still_tells_its_activity_from_others() -> None:
    long = "x" * 5000
    assert len(key(id=long)) < MOST_KEY
    assert key(id=long) == key(id=long)
    assert key(id=long) != key(id=long + "y")
    assert key(id="x" * 100).endswith("x" * 100 + "/2026-11-21T09:00:00.000Z")
    assert len(key(channelId=long)) < MOST_KEY
    assert key(channelId=long) != key(channelId=long + "y")
    half = claim_of({**MESSAGE, "id": long + "\ud800", "conversation": {"id": long}})
    assert len(half.lane) < MOST_KEY


# Lanes


def test_all_messages_of_a_conversation_share_its_lane() -> None:
    lanes = [claim_of({**MESSAGE, "id": str(n), "type": kind}) for n, kind in enumerate(("message", "event"))]
    assert {(claim.lane, claim.ordered) for claim in lanes} == {("lane/msteams/19:abc@thread.v2", True)}


@pytest.mark.parametrize("kind", sorted(BESIDE))
def test_invokes_typing_and_reactions_have_a_lane_of_their_own_each(kind: str) -> None:
    one, other = (claim_of({**MESSAGE, "type": kind, "id": id_}) for id_ in ("1", "2"))
    assert one.lane != other.lane
    assert not one.ordered
    assert one == claim_of({**MESSAGE, "type": kind, "id": "1"})


def test_what_has_no_conversation_waits_for_nothing() -> None:
    claim = claim_of({**MESSAGE, "conversation": {}})
    assert (claim.lane, claim.ordered) == (f"beside/{claim.key}", False)


def test_the_strategy_concurrent_gives_each_message_a_lane_of_its_own_under_the_same_key() -> None:
    claim = claim_of(MESSAGE, "concurrent")
    assert (claim.key, claim.lane, claim.ordered) == (key(), f"beside/{key()}", False)


@pytest.mark.parametrize("strategy", ["queue", "interrupt", "latest", "reject"])
def test_every_other_strategy_orders_a_conversation(strategy: Any) -> None:
    assert claim_of(MESSAGE, strategy) == claim_of(MESSAGE)


# Leases


def test_a_lease_can_be_used_from_when_it_was_asked_for_until_a_request_still_has_time_to_end() -> None:
    claims = Claims(45.0, 30.0)
    claims.held(lease(), asked=100.0)
    assert claims.valid(lease(), 100.0)
    assert claims.valid(lease(), 114.9)
    assert not claims.valid(lease(), 115.0)
    assert claims.due() == 115.0


def test_what_was_never_held_is_not_valid() -> None:
    claims = Claims()
    assert not claims.valid(lease(), 0.0)
    assert claims.due() == inf
    assert len(claims) == 0


def test_the_defaults_leave_three_heartbeats_to_a_lease() -> None:
    claims = Claims()
    assert claims.seconds == LEASE_SECONDS
    assert 3 * claims.beat == LEASE_SECONDS - REQUEST_SECONDS


@pytest.mark.parametrize(("seconds", "request_"), [(30.0, 30.0), (10.0, 30.0), (30.0, 0.0), (30.0, -1.0)])
def test_a_lease_that_leaves_no_time_beside_a_request_is_refused(seconds: float, request_: float) -> None:
    with pytest.raises(ValueError, match="leaves no time"):
        Claims(seconds, request_)


def test_a_lease_without_end_is_valid_for_ever_and_needs_no_heartbeat() -> None:
    claims = Claims(inf)
    claims.held(lease(), asked=0.0)
    assert claims.valid(lease(), 1e12)
    assert claims.expired(1e12) == []
    assert claims.beat == inf


def test_a_heartbeat_keeps_what_is_still_held_and_returns_what_is_not() -> None:
    claims = Claims(45.0, 30.0)
    kept, lost = lease(1, "a"), lease(2, "b")
    claims.held(kept, 0.0)
    claims.held(lost, 0.0)
    assert claims.renewed([kept, lost], {"a": 0}, asked=10.0) == [lost]
    assert claims.valid(kept, 24.9)
    assert not claims.valid(lost, 10.0)
    assert claims.leases == [kept]


def test_a_heartbeat_does_not_bring_back_what_was_given_back_meanwhile() -> None:
    claims = Claims()
    claims.held(lease(), 0.0)
    asked = claims.leases
    claims.dropped(lease())
    assert claims.renewed(asked, {"a": 0}, asked=1.0) == []
    assert claims.renewed(asked, {}, asked=1.0) == []
    assert len(claims) == 0


def test_a_heartbeat_says_nothing_about_a_lease_that_was_given_meanwhile() -> None:
    claims = Claims()
    claims.held(lease(1), 0.0)
    asked = claims.leases
    claims.held(lease(2), 5.0)
    assert claims.renewed(asked, {}, asked=1.0) == []
    assert claims.valid(lease(2), 6.0)


def test_what_no_heartbeat_has_reached_in_time_has_expired_and_is_told_once() -> None:
    claims = Claims(45.0, 30.0)
    claims.held(lease(1, "a"), 0.0)
    claims.held(lease(2, "b"), 1.0)
    assert claims.expired(14.9) == []
    assert claims.expired(15.0) == [lease(1, "a")]
    assert claims.expired(15.0) == []
    assert claims.due() == 16.0
    assert claims.leases == [lease(2, "b")]


def test_a_newer_lease_of_a_lane_takes_the_place_of_the_older() -> None:
    """Else the next heartbeat, which is answered by names, would bring the lost one back to life."""
    claims = Claims()
    claims.held(lease(1), 0.0)
    claims.held(lease(2), 1.0)
    assert claims.leases == [lease(2)]
    assert not claims.valid(lease(1), 1.0)
    claims.dropped(lease(1))
    assert claims.valid(lease(2), 1.0)


def test_an_answer_that_comes_late_brings_no_older_lease_back_and_shortens_none() -> None:
    claims = Claims(45.0, 30.0)
    claims.held(lease(2), 10.0)
    claims.held(lease(1), 20.0)
    assert claims.leases == [lease(2)]
    claims.held(lease(2), 5.0)
    assert claims.due() == 25.0


def test_a_newer_lease_lasts_as_long_as_it_does_itself() -> None:
    claims = Claims(45.0, 30.0)
    claims.held(lease(1), 20.0)
    claims.held(lease(2), 10.0)
    assert claims.due() == 25.0


def test_another_process_s_lease_of_the_same_lane_is_not_ours() -> None:
    claims = Claims()
    claims.held(lease(1), 0.0)
    assert not claims.valid(lease(1, owner="Q"), 0.0)
