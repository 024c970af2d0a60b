"""Ways to let in who must stay out, to ask a provider too often, and to sign the wrong user in: each a change
of one line in auth/ or sign_in/.
"""

from __future__ import annotations

from mutations.mutations import Mutation

__all__ = ["AUTH"]

_AUTH = "apps/src/cadenza/apps/auth/"
_SIGN_IN = "apps/src/cadenza/apps/sign_in/"
_INBOUND = ("tests/auth/test_inbound.py", "tests/auth/test_inbound_entra.py", "tests/auth/test_defects.py")
_FUNCTIONS = ("tests/unit/apps/test_functions.py",)
_KEYS = ("tests/auth/test_keys.py", "tests/auth/test_inbound.py")
_OUTBOUND = ("tests/auth/test_outbound.py",)
_SIGN_INS = tuple(f"tests/auth/test_sign_in{name}.py" for name in ("", "_flows", "_once", "_pending"))

AUTH: tuple[Mutation, ...] = (
    # bearer.py
    Mutation(
        "algorithm-unchecked",
        f"{_AUTH}bearer.py",
        'if header.get("alg") != ALGORITHM:',
        "if False:",
        "A token that is not signed with RS256 is refused before a key is asked for.",
        _INBOUND,
    ),
    Mutation(
        "signature-unchecked",
        f"{_AUTH}bearer.py",
        "_jws().decode(self.text, key.verifier, algorithms=[ALGORITHM])",
        "_jws()",
        "A token counts by the signature of a published key (rule 5).",
        _INBOUND,
    ),
    Mutation(
        "audience-unchecked",
        f"{_AUTH}bearer.py",
        "if not any(isinstance(one, str) and one in audiences for one in named):",
        "if not named:",
        "A token for another bot is refused (rule 3).",
        _INBOUND,
    ),
    Mutation(
        "expiry-optional",
        f"{_AUTH}bearer.py",
        'raise RefusedError("rule 4: the token never expires (it has no exp)")',
        "return",
        "A token without exp is refused (rule 4).",
        _INBOUND,
    ),
    Mutation(
        "expiry-unchecked",
        f"{_AUTH}bearer.py",
        "if now >= expires + LEEWAY_SECONDS:",
        "if False:",
        "An expired token is refused (rule 4).",
        _INBOUND,
    ),
    Mutation(
        "not-before-unchecked",
        f"{_AUTH}bearer.py",
        "if begins is not None and now < begins - LEEWAY_SECONDS:",
        "if False:",
        "A token that is not valid yet is refused (rule 4).",
        _INBOUND,
    ),
    # inbound.py
    Mutation(
        "claim-unchecked",
        f"{_AUTH}inbound.py",
        "if service_url and self.service_url and _comparable(service_url) != _comparable(self.service_url):",
        "if False:",
        "An activity names the service URL that its token was made for (rule 6).",
        _INBOUND,
    ),
    Mutation(
        "host-unchecked",
        f"{_AUTH}inbound.py",
        "if not cloud.trusts(service_url):",
        "if False:",
        "A service URL is of a host of the cloud, though its token says so (rule 6).",
        _INBOUND,
    ),
    Mutation(
        "endorsements-unchecked",
        f"{_AUTH}inbound.py",
        "if self.endorsements is not None and channel_id not in self.endorsements:",
        "if False:",
        "A key vouches for the channels that it is endorsed for (rule 7).",
        _INBOUND,
    ),
    # entra.py
    Mutation(
        "any-caller",
        f"{_AUTH}entra.py",
        "if app_id is None or app_id.lower() not in allowed:",
        "if app_id is None:",
        "Of the apps of Entra ID only those that are listed may post activities.",
        _INBOUND,
    ),
    Mutation(
        "user-as-app",
        f"{_AUTH}entra.py",
        'if not own or "scp" in claims:',
        'if "scp" in claims:',
        "An app posts activities by a token of its own, not by one of a user.",
        _INBOUND,
    ),
    Mutation(
        "app-as-user",
        f"{_AUTH}entra.py",
        'if not (_text(claims.get("scp")) or "").strip():',
        "if False:",
        "A tab function is called by a user, whose token has a scope.",
        _FUNCTIONS,
    ),
    # app.py, clouds.py
    Mutation(
        "token-to-any-port",
        "apps/src/cadenza/apps/app.py",
        "and origin(service_url) != origin(self._settings.service_url)",
        "and False",
        "Where anybody may speak, no activity chooses the port of this machine that the token goes to.",
        ("tests/unit/apps/test_context.py",),
    ),
    Mutation(
        "issuer-of-another-cloud",
        "api/src/cadenza/api/clouds.py",
        'token_issuer="https://api.botframework.azure.cn",',
        'token_issuer="https://api.botframework.com",',
        "The endpoints of the sovereign clouds are those of the documents.",
        ("tests/unit/api/test_clouds.py",),
    ),
    # freshness.py, keys.py, token_memory.py
    Mutation(
        "keys-for-fifty-days",
        f"{_AUTH}freshness.py",
        "MAX_AGE_SECONDS = 5 * 24 * 3600.0",
        "MAX_AGE_SECONDS = 50 * 24 * 3600.0",
        "Keys are used for five days at most.",
        _KEYS,
    ),
    Mutation(
        "fetch-for-ever",
        f"{_AUTH}keys.py",
        "FETCH_SECONDS = 8.0",
        "FETCH_SECONDS = 80.0",
        "A fetch of keys is given up after 8 s.",
        _KEYS,
    ),
    Mutation(
        "memory-without-bound",
        f"{_AUTH}token_memory.py",
        "MAX_REMEMBERED = 2000",
        "MAX_REMEMBERED = 200_000_000",
        "Two thousand tokens are remembered at most.",
        _KEYS,
    ),
    Mutation(
        "no-cool-down",
        f"{_AUTH}freshness.py",
        "return now - self.tried_at >= wait",
        "return True",
        "A made-up key id does not cause a request each.",
        _KEYS,
    ),
    Mutation(
        "keys-for-ever",
        f"{_AUTH}freshness.py",
        "return self._age(now) <= MAX_AGE_SECONDS",
        "return self.fetched_at is not None",
        "Keys that are too old are not used, though no newer ones can be had.",
        _KEYS,
    ),
    Mutation(
        "withdrawn-key-remembered",
        f"{_AUTH}token_memory.py",
        "if now >= entry.expires or entry.keys.known(entry.key.key_id) is not entry.key:",
        "if now >= entry.expires:",
        "A token that was let in is refused when its key is not published any more.",
        _INBOUND,
    ),
    Mutation(
        "expired-token-remembered",
        f"{_AUTH}token_memory.py",
        "if now >= entry.expires or entry.keys.known(entry.key.key_id) is not entry.key:",
        "if entry.keys.known(entry.key.key_id) is not entry.key:",
        "A token that was let in is checked again when it has expired.",
        _INBOUND,
    ),
    # token_life.py, app_tokens.py
    Mutation(
        "renewed-too-late",
        f"{_AUTH}token_life.py",
        "due = now >= self.expires_at - self._margin",
        "due = False",
        "A token of the bot is renewed before it expires.",
        _OUTBOUND,
    ),
    Mutation(
        "no-single-flight",
        "apps/src/cadenza/apps/tasks.py",
        "return task is not None and not task.done() and task.get_loop() is asyncio.get_running_loop()",
        "return False",
        "All who wait for the same token share one request.",
        _OUTBOUND,
    ),
    # sign_in/
    Mutation(
        "outage-is-not-signed-in",
        f"{_SIGN_IN}tokens.py",
        "except NotFoundError:",
        "except HttpStatusError:",
        "Only a 404 of the token service means that the user is not signed in.",
        _SIGN_INS,
    ),
    Mutation(
        "anybodys-cached-token",
        f"{_SIGN_IN}handlers.py",
        "response = await tokens.find(name, urgent=True)",
        "response = None",
        "A code is not taken as good for a connection that the user is signed in to already.",
        _SIGN_INS,
    ),
    Mutation(
        "sign-in-told-by-all",
        f"{_SIGN_IN}pending.py",
        "if not known.waits_for(mark.connection_name) and (lost_to_another or not fresh):",
        "if False:",
        "One alone completes a sign-in, and tells the bot of it.",
        _SIGN_INS,
    ),
    Mutation(
        "endless-guesses",
        f"{_SIGN_IN}pending.py",
        "if sign_in.guesses < MOST_GUESSES)",
        "if sign_in.guesses >= 0)",
        "A few typed codes are tried for a sign-in, and no more.",
        _SIGN_INS,
    ),
    Mutation(
        "connection-of-anybodys-choice",
        f"{_SIGN_IN}handlers.py",
        "if not self._connections.concerns(name, sign_ins or NONE):",
        "if False:",
        "A token is exchanged only for a connection that this bot signs in to.",
        _SIGN_INS,
    ),
    Mutation(
        "status-of-the-bots-own-credentials",
        f"{_SIGN_IN}handlers.py",
        "failure.status in OWN_STATUSES or",
        "",
        "That the token service did not take the bot's own token is not passed on to Teams as a status.",
        _SIGN_INS,
    ),
    Mutation(
        "card-for-all",
        f"{_SIGN_IN}cards.py",
        'return activity.model_copy(update={"recipient": asker(inbound)})',
        "return activity",
        "In a group only the user who was asked sees the card.",
        _SIGN_INS,
    ),
)
