"""The script of the page, run for real, with what the server's socket would say."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
from local_channels.web import KEY, PAGE

NODE = shutil.which("node")
PLAYER = Path(__file__).with_name("play_page.js")

pytestmark = pytest.mark.skipif(NODE is None, reason="the page's script needs node to run, which is not here")


def play(*steps: Any) -> list[dict[str, Any]]:
    """What is to be seen after each step, from the opening of the page on."""
    assert NODE is not None
    given = json.dumps([["open"], *([step] if isinstance(step, str) else step for step in steps)])
    done = subprocess.run(
        [NODE, PLAYER, PAGE, given], capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stderr
    seen: list[dict[str, Any]] = json.loads(done.stdout)
    return seen


def begin(run: str) -> tuple[str, dict[str, str]]:
    return "frame", {"type": "begin", "id": "", "run": run}


def frame(id: str, who: str, text: str, state: str = "", **more: Any) -> tuple[str, dict[str, Any]]:
    return "frame", {"type": "message", "id": id, "from": who, "text": text, "state": state, **more}


def test_the_key_of_a_room_is_made_up_and_is_the_same_after_a_reload() -> None:
    first, again = play("open")
    key = re.fullmatch(r"ws://bot/socket/(\w+)", first["url"])
    assert key
    assert KEY.fullmatch(key[1])
    assert again["url"] == first["url"]
    [other] = play()
    assert other["url"] != first["url"], "another page has another room"


def test_an_answer_grows_in_its_place_and_can_be_stopped_meanwhile() -> None:
    *_, thinking, growing, stop, final = play(
        "connect",
        begin("a"),
        frame("1", "you", "hello"),
        frame("2", "bot", "", "growing", line="Thinking"),
        frame("2", "bot", "You wr", "growing"),
        "stop",
        frame("2", "bot", "You wrote hello", "final", cards=[["One", "Two"]]),
    )
    assert thinking["messages"] == [["message you", "hello"], ["message bot", "Thinking ..."]]
    assert growing["messages"][1:] == [["message bot", "You wr"]]
    assert (growing["stop"], stop["sent"]) == (True, [{"type": "stop", "id": "2"}])
    assert final["messages"][1:] == [["message bot", "You wrote helloOne\nTwo"]]
    assert not final["stop"]


def test_what_is_typed_waits_until_it_is_in_the_room_and_is_said_again_after_a_loss() -> None:
    *_, typed, lost, _, again = play("connect", begin("a"), ["type", "hello"], "lose", "connect", begin("a"))
    assert typed["messages"] == lost["messages"] == again["messages"] == [["message you waiting", "hello"]]
    assert typed["sent"] == again["sent"]
    [said] = typed["sent"]
    assert (said["type"], said["text"]) == ("say", "hello")


def test_what_a_bot_that_stops_has_refused_is_said_to_the_next() -> None:
    *_, shown, refused, _, _, again = play(
        "connect",
        begin("a"),
        frame("1", "you", "hello"),
        frame("1", "you", "hello", "refused"),
        "lose",
        "connect",
        begin("b"),
    )
    assert shown["messages"] == [["message you", "hello"]]
    assert refused["messages"] == again["messages"] == [["message you waiting", "hello"]]
    assert again["sent"] == [{"type": "say", "id": "1", "text": "hello"}]


def test_what_grew_when_the_server_began_anew_is_marked_as_lost() -> None:
    *_, new = play("connect", begin("a"), frame("2", "bot", "Half", "growing"), "lose", "connect", begin("b"))
    assert new["messages"] == [["message bot", "Halfthe server was restarted"]]
    assert not new["stop"]


def test_what_is_taken_back_goes_from_the_page() -> None:
    *_, gone = play(
        "connect", begin("a"), frame("2", "bot", "x", "growing"), frame("2", "bot", "", "removed")
    )
    assert (gone["messages"], gone["stop"]) == ([], False)
