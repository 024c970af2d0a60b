"""A local server that speaks OpenAI's wire: Responses (streamed, in the background, resumed) and Chat
Completions. It says what its script says, and reads requests as strictly as the service does.

    async with OpenAIServer() as server:
        server.say("Hello")                                        # one string: one answer
        server.say(Reply(Call("weather", {"city": "Oslo"})))       # the next answer calls a tool
        server.say(Reply(Say("It ", "rains.", phase="final_answer"), cuts=(Cut(after=5),)))
        client = OpenAIResponsesClient("gpt-5", client=server.client())       # the real openai package
        ...
        assert server.creations[0]["input"] == [...]               # what it was sent

In tests/unit/agents the fixture `openai_server` is such a server, and every answer that the script has is
used up one by one, by whichever wire asks. With an empty script it answers 500, "script_over".

- What an answer has: `Say`, `Refuse`, `Think`, `Call`, `Search`, `Picture`, `Hosted` (any other item).
- How it ends: `Reply(status="incomplete", reason="max_output_tokens")`, `Reply(status="failed",
  error=("server_error", "..."))`; `HttpError(429, "rate_limit_exceeded")` instead of a Reply.
- How the connection fares: `cuts`, one for each connection to that response, in their order: `Cut(after=3)`
  closes cleanly after 3 events, `Cut(after=3, how="abort")` drops the connection, `how="error"` sends an
  `error` event first, `Cut(at_byte=100)` drops it in the midst of an event. None: nothing happens to it.
- How fast it is: `pace` seconds (of the loop: use VirtualClock) before each event; `gate=asyncio.Event()`
  with `gate_at=5` waits before the event of that sequence number until the gate is set.
- Background: jobs go on alone. `server.jobs[id]` has `.status`, `.made` (how many of its events happened);
  `server.expire(id)` forgets one (404 from then on), and `retention` seconds after its end each is forgotten.
- `server.connections`: of every streamed answer how many events it was sent and whether the client left.

Every event and body is validated against the types of the installed openai package before it is sent, fields
that these do not know included; `Reply(wild=...)` is for what a strange server may send.
"""

from .script import Call, ChatManner, Cut, Hosted, HttpError, Picture, Refuse, Reply, Say, Search, Think
from .server import Connection, OpenAIServer, Received

__all__ = [
    "Call",
    "ChatManner",
    "Connection",
    "Cut",
    "Hosted",
    "HttpError",
    "OpenAIServer",
    "Picture",
    "Received",
    "Refuse",
    "Reply",
    "Say",
    "Search",
    "Think",
]
