from cadenza.cli.crew import LONGEST_PAUSE, PATIENCE, STEADY, Crew


def crew(*serving: int) -> Crew:
    """Workers that have served since the beginning of time."""
    crew = Crew()
    for number in serving:
        crew.started(number, 0.0)
        crew.serves(number)
    return crew


def test_a_worker_that_is_killed_is_started_again_at_once() -> None:
    assert crew(1, 2).ended(1, 1.0) == 0.0


def test_a_worker_that_ends_again_and_again_is_started_later_each_time_and_never_after_30_seconds() -> None:
    some = crew(1, 2)
    pauses = []
    for _ in range(10):
        pauses.append(some.ended(1, 1.0))
        some.started(1, 1.0)
        some.serves(1)
    assert pauses == [0.0, 0.5, 1.0, 2.0, 4.0, 8.0, 16.0, LONGEST_PAUSE, LONGEST_PAUSE, LONGEST_PAUSE]


def test_a_worker_that_lived_for_a_minute_has_forgotten_its_earlier_ends() -> None:
    some = crew(1, 2)
    for _ in range(5):
        some.ended(1, 1.0)
        some.started(1, 1.0)
        some.serves(1)
    assert some.ended(1, 1.0 + STEADY) == 0.0


def test_after_five_starts_in_a_row_that_failed_it_gives_up() -> None:
    some = Crew()
    for attempt in range(PATIENCE):
        some.started(1, float(attempt))
        pause = some.ended(1, float(attempt))
        assert (pause is None) == (attempt == PATIENCE - 1)


def test_while_another_worker_serves_a_failed_start_is_tried_again_for_ever() -> None:
    some = crew(2)
    for _ in range(100):
        some.started(1, 0.0)
        assert some.ended(1, 0.0, hopeless=True) is not None


def test_a_bot_that_cannot_be_loaded_is_not_tried_again() -> None:
    some = Crew()
    some.started(1, 0.0)
    assert some.ended(1, 0.0, hopeless=True) is None


def test_a_start_that_succeeds_ends_the_row_of_failed_ones() -> None:
    some = Crew()
    for _ in range(3):
        for _ in range(PATIENCE - 1):
            some.started(1, 0.0)
            assert some.ended(1, 0.0) is not None
        some.started(1, 0.0)
        some.serves(1)
        assert some.ended(1, 0.0) is not None
