"""Mutations that put a defect of the field's SDKs into our code, where microsoft-teams-apps cannot show that
the test of it fails: because it has mended the defect, or because our half of the test is not yet that of a
client of its own. tests/faults/README.md has the list of the tests.
"""

from __future__ import annotations

from mutations.mutations import Mutation

__all__ = ["DEFECTS"]

_TESTS = "tests/faults/test_client_defects.py::"
_API = "api/src/cadenza/api/"

DEFECTS: tuple[Mutation, ...] = (
    Mutation(
        "client-per-turn",
        "apps/src/cadenza/apps/app.py",
        "        api = self._api_at(service_url)",
        "        api = ApiClient(service_url, token=self._tokens.bot(), cloud=self.api.cloud)",
        "All turns of an App share its connections.",
        (_TESTS + "test_r04_the_turns_of_a_bot_share_its_connection",),
    ),
    Mutation(
        "session-left-open",
        _API + "clients/aiohttp_transport.py",
        "await session.close()",
        "pass",
        "An App that stops closes its connections.",
        (_TESTS + "test_r05_a_stopped_bot_leaves_no_connection_open",),
    ),
    Mutation(
        "none-in-query",
        _API + "clients/api_client.py",
        "(query or {}).items() if value is not None}",
        "(query or {}).items()}",
        "A query parameter that is None is not sent.",
        (_TESTS + "test_r07_a_query_parameter_that_is_none_is_not_sent",),
    ),
    Mutation(
        "body-forgotten",
        _API + "clients/api_client.py",
        '"Content-Type": "application/json"}, encode_json(json))',
        '"Content-Type": "application/json"}, None)',
        "The JSON of a call goes in its body.",
        (_TESTS + "test_r08_a_list_that_belongs_in_the_body_is_not_put_into_the_query",),
    ),
    Mutation(
        "none-as-null",
        _API + "clients/api_client.py",
        "to_json(value, by_alias=True, exclude_none=True)",
        "to_json(value, by_alias=True, exclude_none=False)",
        "A field that is None is left out of what is sent.",
        (_TESTS + "test_r09_what_is_none_is_not_sent_as_null",),
    ),
    Mutation(
        "token-to-any-host",
        _API + "clouds.py",
        "return _is_loopback(host)",
        "return True",
        "The bot's token goes to hosts that are trusted, and over https.",
        (_TESTS + "test_r13_the_token_goes_to_no_foreign_host_and_over_no_open_line",),
    ),
    Mutation(
        "client-per-send",
        "apps/src/cadenza/apps/sending.py",
        "conversations = (api.at(ref.service_url) if elsewhere else api).conversations",
        "conversations = ApiClient(ref.service_url if elsewhere else api.service_url).conversations",
        "All that a turn sends goes through its one client.",
        (_TESTS + "test_r14_the_sends_of_a_turn_share_one_client",),
    ),
    Mutation(
        "cloud-forgotten",
        _API + "clients/api_client.py",
        "            cloud=self._cloud,",
        "            cloud=PUBLIC,",
        "The client of a turn belongs to the App's cloud.",
        (_TESTS + "test_r15_the_client_of_a_turn_has_the_token_service_of_its_cloud",),
    ),
)
