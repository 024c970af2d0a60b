"""Ways to break what surrounds turns and streams, each a change of one line: plugins and their channels, the
contract that their streamers are held to, hosts, readiness, what logs and spans tell, cards and what their
buttons send, and the emulator's users, who look at all that.
"""

from __future__ import annotations

from mutations.mutations import Mutation

__all__ = ["SURROUNDINGS"]

_APPS = "apps/src/cadenza/apps/"
_PLUGINS = f"{_APPS}plugins/"
_HTTP = f"{_APPS}http/"
_TELEMETRY = "api/src/cadenza/api/telemetry/"
_CARDS = "cards/src/cadenza/cards/"
_TESTING = "testing/src/cadenza/testing/"


def _in(file: str, *names: str) -> tuple[str, ...]:
    """Tests of one file: these, or all."""
    return tuple(f"{file}::test_{name}" for name in names) or (file,)


def _plugins(*names: str) -> tuple[str, ...]:
    return _in("tests/unit/apps/test_plugins.py", *names)


def _channels(*names: str) -> tuple[str, ...]:
    return _in("tests/unit/apps/test_channels.py", *names)


def _lifespan(*names: str) -> tuple[str, ...]:
    return _in("tests/hosts/test_lifespan.py", *names)


def _health(*names: str) -> tuple[str, ...]:
    return _in("tests/unit/apps/test_health.py", *names)


def _spans(*names: str) -> tuple[str, ...]:
    return _in("tests/unit/apps/test_telemetry.py", *names)


_FINALIZES_TWICE = _in(
    "tests/contract/test_streamers.py",
    "a_broken_streamer_fails_the_tests_of_what_it_breaks_and_no_other[FinalizesTwice]",
)
_STATIC = _in("tests/hosts/test_files.py", "what_is_hidden_outside_or_not_there_is_a_plain_404")
_LINES = _in(
    "tests/unit/apps/test_log_fields.py", "what_comes_from_outside_is_cut_and_writes_no_line_of_its_own"
)
_ELEMENTS = ("tests/unit/cards/test_elements.py",)
_VALIDATION = ("tests/unit/cards/test_validation.py",)
_SUBMIT = ("tests/unit/cards/test_submit.py",)
_REFRESHES = ("tests/unit/testing/test_user_cards.py",)

SURROUNDINGS: tuple[Mutation, ...] = (
    # plugins/
    Mutation(
        "hook-not-called",
        f"{_PLUGINS}table.py",
        '"on_activity_response": ("activity_response", _response),',
        "",
        "Every hook of a plugin runs.",
        _plugins("p3_every_hook_of_a_plugin_runs_in_the_turn_that_it_is_about"),
    ),
    Mutation(
        "plugins-stopped-in-order",
        f"{_PLUGINS}table.py",
        "plugin = self._initialized.pop()",
        "plugin = self._initialized.pop(0)",
        "The plugin that was started last is stopped first.",
        _plugins("plugins_are_started_in_order_and_stopped_in_the_opposite_one"),
    ),
    Mutation(
        "stop-without-a-share",
        f"{_PLUGINS}table.py",
        "share = max(0.0, deadline - loop.time()) / len(self._initialized)",
        "share = max(0.0, deadline - loop.time())",
        "An on_stop that hangs leaves those that come after it their share of the time.",
        _plugins("an_on_stop_that_hangs_is_cancelled_after_its_share_of_five_seconds"),
    ),
    Mutation(
        "plugin-name-twice",
        f"{_PLUGINS}table.py",
        "if name.casefold() in names:",
        "if False:",
        "Two plugins of one name are refused.",
        _plugins("what_is_no_plugin_is_refused_when_the_app_is_made"),
    ),
    Mutation(
        "injected-by-name-alone",
        f"{_PLUGINS}dependencies.py",
        "if mark.name is None and len(fitting) == 1:",
        "if False:",
        "A field gets the one thing that is of its type, whatever it is called.",
        _plugins("a_plugin_is_given_what_it_asks_for_by_type_and_by_name"),
    ),
    Mutation(
        "any-type-injected",
        f"{_PLUGINS}dependencies.py",
        "if name is not None and there[name].may_be(wanted):",
        "if name is not None:",
        "A field gets nothing that is of another type than it says.",
        _plugins("what_is_not_there_or_is_not_clear_is_an_error_that_names_the_field"),
    ),
    Mutation(
        "channel-open-to-all",
        f"{_PLUGINS}channel.py",
        "if channel_id is not None and channel_id.casefold() in self.channels:",
        "if False:",
        "An activity of a plugin's channel is not let in over HTTP.",
        _channels("nobody_but_the_plugin_brings_activities_of_its_channel"),
    ),
    Mutation(
        "channel-open-by-its-case",
        f"{_PLUGINS}channel.py",
        "if channel_id is not None and channel_id.casefold() in self.channels:",
        "if channel_id is not None and channel_id in self.channels:",
        "A plugin's channel is its own in any case of letters.",
        _channels("nobody_but_the_plugin_brings_activities_of_its_channel"),
    ),
    Mutation(
        "channel-of-another",
        f"{_PLUGINS}table.py",
        "if isinstance(named, str) and named.casefold() in self.channels:",
        "if False:",
        "A plugin brings no activities of another's channel.",
        _channels("a_plugin_brings_nothing_to_the_channel_of_another"),
    ),
    # plugins/channel_stream.py
    Mutation(
        "emitted-past-the-close",
        f"{_PLUGINS}channel_stream.py",
        "if self._queue or self._pump is not None or not self._outlet.open:",
        "if not self._outlet.open:",
        "What is emitted while the streamer finalizes a message is of the next one.",
        _channels(),
    ),
    Mutation(
        "seal-forgotten",
        f"{_PLUGINS}channel_stream.py",
        "raise copy(self._sealed)  # with its traceback this one would keep the turn alive",
        "pass",
        "A turn that is over takes nothing more for its stream.",
        _channels("a_handler_that_emits_after_its_turn_is_told_that_it_is_over"),
    ),
    Mutation(
        "queue-shown-after-stop",
        f"{_PLUGINS}channel_stream.py",
        "if not self._stopped:",
        "if True:",
        "What waits for the streamer is dropped when the user presses Stop.",
        _channels("what_waits_for_the_streamer_when_its_user_presses_stop_is_never_shown"),
    ),
    Mutation(
        "stop-not-heard",
        f"{_PLUGINS}channel_stream.py",
        "tell_stop(lambda: (told := on_stop()) and told())",
        "pass",
        "A streamer that tells of Stop ends the turn at once.",
        _channels("stop_ends_the_turn_quietly_and_nothing_more_is_shown"),
    ),
    # testing/contracts/streamer.py
    Mutation(
        "contract-closes-once",
        f"{_TESTING}contracts/streamer.py",
        "for _ in range(3):",
        "for _ in range(0):",
        "A streamer whose second close() sends again breaks the law of close().",
        _FINALIZES_TWICE,
    ),
    Mutation(
        "contract-hears-no-second-close",
        f"{_TESTING}contracts/streamer.py",
        "assert finals == [first, second]",
        "assert finals[0] == first",
        "A streamer that tells on_close of a message twice breaks the law of on_close.",
        _FINALIZES_TWICE,
    ),
    # http/body.py, http/asgi.py
    Mutation(
        "limit-per-chunk",
        f"{_HTTP}body.py",
        "self._left -= len(chunk)",
        "self._left = self._left if len(chunk) <= self._left else -1",
        "The limit of a body is that of all its chunks together.",
        _lifespan("no_more_is_read_of_a_body_than_it_may_have"),
    ),
    Mutation(
        "length-not-believed",
        f"{_HTTP}asgi.py",
        "if said.isdecimal() and int(said[:20]) > limit:",
        "if False:",
        "Nothing is read of a body whose Content-Length is over the limit.",
        _lifespan("nothing_is_read_of_a_body_that_says_it_is_too_large"),
    ),
    Mutation(
        "body-before-token",
        f"{_HTTP}asgi.py",
        "body = _Body(headers, receive)",
        "body = _Body(headers, lambda ahead=await receive(): asyncio.sleep(0, ahead))",
        "A request without a good token is refused before its body has come.",
        _in("tests/hosts/test_requests.py", "a_bad_token_is_refused_before_a_byte_of_the_body"),
    ),
    Mutation(
        "half-a-body",
        f"{_HTTP}asgi.py",
        'if message["type"] != "http.request":',
        "if False:",
        "A body whose client has gone before its end is not taken for a whole one.",
        _lifespan("a_body_that_ends_with_the_connection_is_broken"),
    ),
    Mutation(
        "mount-behind-a-proxy",
        f"{_HTTP}asgi.py",
        "for begin in (root, mounted):",
        "for begin in (root,):",
        "A mounted bot is found behind a proxy, too.",
        _lifespan("a_path_is_understood_as_old_and_new_hosts_and_proxies_write_it"),
    ),
    # http/static_files.py, http/file_answer.py
    Mutation(
        "hidden-files-shown",
        f"{_HTTP}static_files.py",
        'part.startswith(".") or',
        'part == ".." or',
        "Files whose names begin with a dot are not shown.",
        _STATIC,
    ),
    Mutation(
        "files-outside-shown",
        f"{_HTTP}static_files.py",
        "shown = file.is_file() and file.is_relative_to(self._root)",
        "shown = file.is_file()",
        "No link leads out of the directory.",
        _STATIC,
    ),
    Mutation(
        "packed-files-outside-shown",
        f"{_HTTP}file_answer.py",
        "if S_ISREG(beside.lstat().st_mode):",
        "if S_ISREG(beside.stat().st_mode):",
        "Neither does one that is called as the packed file beside another.",
        _in("tests/hosts/test_files.py", "a_packed_file_that_is_a_link_out_of_the_directory_is_not_shown"),
    ),
    # app.py, http/readiness.py
    Mutation(
        "lifespan-without-stop",
        f"{_APPS}app.py",
        "            yield",
        '            yield setattr(self, "stop", self.events.settle)',
        "The App stops when the block of its lifespan is left.",
        _lifespan("events_come_when_it_starts_and_stops_and_signals_are_the_hosts"),
    ),
    Mutation(
        "ready-while-stopping",
        f"{_APPS}app.py",
        'return "stopping"',
        'return "ok"',
        "A bot that stops is not ready.",
        _health("a_bot_that_stops_is_alive_and_not_ready_while_its_turns_go_on"),
    ),
    Mutation(
        "ready-without-state",
        f"{_HTTP}readiness.py",
        '"state": "ok" if self._answers else "unavailable",',
        '"state": "ok",',
        "A bot whose state does not answer is not ready.",
        _health("while_the_state_does_not_answer_the_bot_is_alive_and_not_ready"),
    ),
    Mutation(
        "state-asked-each-time",
        f"{_HTTP}readiness.py",
        "if loop.time() < self._fresh_until:",
        "if False:",
        "However many ask, the state is asked once a second.",
        _health("however_many_ask_the_state_is_asked_once_a_second"),
    ),
    Mutation(
        "address-told",
        f"{_HTTP}readiness.py",
        "reason = error if isinstance(error, StateError) else type(error).__name__",
        "reason = error",
        "What a foreign error of the state says, a password perhaps, is not told.",
        _health("neither_the_answer_nor_the_log_tells_what_a_foreign_error_says"),
    ),
    # log_fields.py
    Mutation(
        "long-fields-logged",
        f"{_APPS}log_fields.py",
        "value[:MOST_CHARACTERS]",
        "value",
        "What comes from outside is cut before it is logged.",
        _LINES,
    ),
    Mutation(
        "lines-forged",
        f"{_APPS}log_fields.py",
        "if text.isprintable():",
        "if True:",
        "No id from outside writes a line of the log.",
        _LINES,
    ),
    Mutation(
        "fields-of-the-last-request",
        f"{_HTTP}endpoint.py",
        "log_fields.leave(said)",
        "pass",
        "A line about a request has no fields of the one before it on the same connection.",
        _in(
            "tests/unit/apps/test_log_fields.py",
            "two_requests_of_one_connection_are_apart_and_what_is_refused_has_no_turn",
        ),
    ),
    # Telemetry
    Mutation(
        "request-not-linked",
        f"{_APPS}turns/turn_span.py",
        "request = [spans.carried(headers)] if isinstance(headers, Mapping) else []",
        "request = []",
        "A turn is linked to the request that brought it.",
        _spans("a_turn_is_linked_to_the_request_that_brought_it"),
    ),
    Mutation(
        "stream-outside-its-turn",
        f"{_APPS}turns/turn.py",
        "stream.belong_to(self._span.context)",
        "pass",
        "The span of a stream is a child of its turn's, whichever handler asks for it first.",
        _spans(),
    ),
    Mutation(
        "error-text-told",
        f"{_TELEMETRY}spans.py",
        "self._span.set_status(trace.Status(trace.StatusCode.ERROR, name))",
        "self._span.set_status(trace.Status(trace.StatusCode.ERROR, str(error)))",
        "A span tells the type of an error, and nothing that it says.",
        _spans("a_span_tells_the_type_of_an_error_and_nothing_that_it_says"),
    ),
    Mutation(
        "instruments-made-anew",
        f"{_TELEMETRY}sources.py",
        "self._metered, self._instruments = provider, made",
        "self._instruments = made",
        "Instruments are made once for a provider.",
        _spans("instruments_are_made_once_for_a_provider"),
    ),
    Mutation(
        "stopped-span-left-open",
        f"{_APPS}stream/driver.py",
        "if cycle.outcome is not None or self.broken is not None or cycle not in self._machine.cycles:",
        "if cycle.outcome is not None and not self._machine.stops:",
        "The span of an answer ends when the user presses Stop.",
        _spans("every_span_ends_when_the_user_presses_stop"),
    ),
    Mutation(
        "stop-told-as-failure",
        f"{_APPS}routing/handler_span.py",
        "except StreamCancelledError:",
        "except ZeroDivisionError:",
        "A handler that meets the user's Stop has not failed.",
        _spans("a_handler_that_meets_the_stop_has_not_failed"),
    ),
    Mutation(
        "long-attributes-told",
        f"{_TELEMETRY}spans.py",
        "value[:LONGEST] if isinstance(value, str) else value",
        "value",
        "A text from outside is cut before a span has it.",
        _spans("what_a_sender_makes_up_is_cut"),
    ),
    # cards/
    Mutation(
        "subclass-field-lost",
        f"{_CARDS}objects.py",
        "cls, nulls = type(self), self._nulls",
        "cls, nulls = class_for(self.__dict__) or type(self), self._nulls",
        "The fields of a subclass are written, though its type is that of its base.",
        _ELEMENTS,
    ),
    Mutation(
        "none-written",
        f"{_CARDS}objects.py",
        "if nulls and name in nulls:",
        "if True:",
        "A field that is None is not written as null.",
        _ELEMENTS,
    ),
    Mutation(
        "zero-dropped",
        f"{_CARDS}objects.py",
        "if value is None:",
        "if not value:",
        "0, False and empty text are written.",
        _in("tests/unit/cards/test_elements.py", "zero_false_and_empty_text_are_kept"),
    ),
    Mutation(
        "wire-name-guessed",
        f"{_CARDS}strictness.py",
        '"grid_area": "grid.area",',
        "",
        "A field has the name on the wire that Teams reads.",
        _ELEMENTS,
    ),
    Mutation(
        "misspelt-keyword-taken",
        f"{_CARDS}objects.py",
        "wrong[name] = _unknown(cls, name)",
        "pass",
        "A keyword that is misspelt is an error.",
        _in(
            "tests/unit/cards/test_elements.py", "a_misspelt_keyword_is_an_error_that_names_the_nearest_field"
        ),
    ),
    Mutation(
        "nearest-name-not-told",
        f"{_CARDS}strictness.py",
        "n=1, cutoff=0.5)",
        "n=1, cutoff=0.99)",
        "The error of a misspelt keyword names the nearest field.",
        _in(
            "tests/unit/cards/test_elements.py", "a_misspelt_keyword_is_an_error_that_names_the_nearest_field"
        ),
    ),
    Mutation(
        "path-counts-from-one",
        f"{_CARDS}validation.py",
        'return f"[{key}]"',
        'return f"[{key + 1}]"',
        "A fault of a card is told with its JSON path.",
        _in(
            "tests/unit/cards/test_validation.py",
            "a_misspelt_field_at_the_sixth_level_is_named_with_its_place",
        ),
    ),
    Mutation(
        "size-in-characters",
        f"{_CARDS}validation.py",
        "return len(json.dumps(value, ensure_ascii=False).encode())",
        "return len(json.dumps(value, ensure_ascii=False))",
        "The size of a card is counted in bytes.",
        _in("tests/unit/cards/test_validation.py", "the_limit_is_counted_in_bytes_of_utf_8"),
    ),
    Mutation(
        "a-card-of-29-kb",
        f"{_CARDS}validation.py",
        "MAX_CARD_BYTES: Final = 28 * 1024",
        "MAX_CARD_BYTES: Final = 29 * 1024",
        "A card has 28 KB at most.",
        _in(
            "tests/unit/cards/test_validation.py",
            "a_card_of_29_kb_is_told_its_size_its_limit_and_its_heaviest_places",
        ),
    ),
    Mutation(
        "action-overwritten",
        f"{_CARDS}submit.py",
        "super().__init__(**{**(data or {}), **fields, **named})",
        "super().__init__(**{**named, **(data or {}), **fields})",
        "The data of a button names its action, whatever else has that name.",
        _in("tests/unit/cards/test_submit.py", "submit_data_names_the_action_beside_its_fields"),
    ),
    Mutation(
        "payload-of-another-action",
        f"{_CARDS}submit.py",
        'if cls.action is not None and data.get("action") != cls.action:',
        "if False:",
        "A handler gets the payload of the action that was submitted, and of no other.",
        _SUBMIT,
    ),
    # The emulator's users
    Mutation(
        "refreshed-for-all",
        f"{_TESTING}refreshes.py",
        "member_id in users[:MOST_USERS]",
        "bool(users)",
        "A card is refreshed by the clients of those whom it names.",
        _REFRESHES,
    ),
    Mutation(
        "old-views-kept",
        f"{_TESTING}service.py",
        "message.views = {}",
        "pass",
        "An edit takes back what each person has seen in the place of the card.",
        _in("tests/unit/testing/test_user_cards.py", "an_edit_takes_back_what_each_saw_and_refreshes_anew"),
    ),
)
