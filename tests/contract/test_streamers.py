"""The contract of streamers on `HttpStream`, and on some that break it."""

import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from xml.etree import ElementTree

import pytest
from cadenza.apps.stream import HttpStream
from cadenza.testing.contracts import StreamerContract

from .teams_screen import TeamsScreen, screen_of

BROKEN = Path(__file__).with_name("broken_streamers.py")

CAUGHT: dict[str, set[str]] = {
    "FinalizesTwice": {
        "close_finalizes_once_however_often_it_is_called",
        "who_stops_waiting_for_close_does_not_stop_it",
        "what_is_emitted_after_close_is_another_message",
        "on_close_gets_each_message_once",
        "after_stop_the_screen_stays_as_it_was",
        "stop_after_close_stops_nothing",
        "after_any_sequence_of_calls_the_user_sees_what_was_emitted",
    },
    "LosesWhatComesMeanwhile": {
        "many_texts_are_joined_in_their_order",
        "what_comes_at_any_step_of_the_loop_is_kept",
        "what_is_emitted_while_close_works_is_another_message",
        "after_any_sequence_of_calls_the_user_sees_what_was_emitted",
    },
    "GoesOnAfterStop": {
        "after_stop_nothing_is_taken_until_close",
        "after_stop_the_screen_stays_as_it_was",
        "stop_ends_an_informative_line_too",
    },
    "CountsNothing": {"count_tells_what_is_not_on_the_screen_yet"},
    "ClosedTooSoon": {"closed_is_false_while_the_message_is_being_finalized"},
    "DeafToThreads": {"informative_lines_and_clear_text_may_come_from_another_thread"},
    "KeepsFailuresQuiet": {
        "close_raises_where_the_text_does_not_reach_the_user",
        "close_raises_where_a_card_does_not_reach_the_user",
    },
    "WaitsForNobody": {"close_waits_for_the_handlers_of_on_close"},
}
"""By which tests each of the streamers of broken_streamers.py is found out: by these, and by no other."""


class TestHttpStream(StreamerContract):
    @pytest.fixture
    async def backend(self) -> AsyncIterator[TeamsScreen]:
        async for screen in screen_of(HttpStream):
            yield screen


@pytest.fixture(scope="module")
def failed(tmp_path_factory: pytest.TempPathFactory) -> dict[str, set[str]]:
    """The tests that failed, by the streamer. The contract is run by a pytest of its own, as its users do."""
    report = tmp_path_factory.mktemp("broken") / "report.xml"
    command = [
        sys.executable,
        "-m",
        "pytest",
        "-n",
        "0",
        "-q",
        "--tb=no",
        f"--junitxml={report}",
        str(BROKEN),
    ]
    run = subprocess.run(command, cwd=BROKEN.parents[2], capture_output=True, text=True, check=False)
    assert run.returncode == pytest.ExitCode.TESTS_FAILED, run.stdout + run.stderr
    found: dict[str, set[str]] = {}
    for case in ElementTree.parse(report).iter("testcase"):
        streamer = case.attrib["classname"].rpartition(".")[2].removeprefix("Test")
        tests = found.setdefault(streamer, set())
        if case.find("failure") is not None or case.find("error") is not None:
            tests.add(case.attrib["name"].partition("[")[0].removeprefix("test_"))
    return found


@pytest.mark.parametrize("streamer", CAUGHT)
def test_a_broken_streamer_fails_the_tests_of_what_it_breaks_and_no_other(
    failed: dict[str, set[str]], streamer: str
) -> None:
    assert failed[streamer] == CAUGHT[streamer]


def test_no_broken_streamer_is_forgotten(failed: dict[str, set[str]]) -> None:
    assert set(failed) == set(CAUGHT)
