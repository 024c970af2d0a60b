"""What models cost: an inbound activity from bytes to its model, a message from its model to bytes.

    python benchmarks/models.py --out benchmarks/results     # a minute or two

Needs uv and Python 3.12 (the peer does). Each SDK gets an environment of its own, made by uv with what is
newest. README.md says what is measured.
"""

from __future__ import annotations

import argparse
import gc
import json
import subprocess
import sys
import tempfile
import warnings
from collections.abc import Callable
from functools import partial
from pathlib import Path
from statistics import median
from time import process_time
from timeit import Timer
from typing import Any

from inbound import Environments

OURS, PEER = "cadenza", "teams-apps"
PACKAGES = {OURS: "cadenza-api", PEER: "microsoft-teams-api"}
TARGET = 0.5

TENANT = "9b1d3c80-6f0c-4b52-9a63-2d8c3f1a7e01"
EVERY: dict[str, Any] = {
    "timestamp": "2026-09-23T20:07:49.4714686Z",
    "localTimestamp": "2026-09-23T22:07:49.4714686+02:00",
    "localTimezone": "Europe/Berlin",
    "serviceUrl": "https://smba.trafficmanager.net/emea/",
    "channelId": "msteams",
    "from": {
        "id": "29:1kX9cPzZ7m0uQy3nW5tR8vB2dF4gH6jL1sA0qE9iO7uY5tR3eW1zX8cV6bN4mK2",
        "name": "Ada Lovelace",
        "aadObjectId": "6f2c0a52-9f0e-4b8e-a5ec-6a4f3f6f0001",
    },
    "recipient": {"id": "28:4f1b6a2c-7d0e-4d5c-8a2b-0c8a4a6f9b11", "name": "Helper"},
    "conversation": {
        "conversationType": "personal",
        "tenantId": TENANT,
        "id": "a:1kX9cPzZ7m0uQy3nW5tR8vB2dF4gH6jL1sA0qE9iO7uY5tR3eW1zX8cV6bN4mK2aB3cD4eF5",
    },
}
CLIENT = {
    "locale": "en-US",
    "country": "US",
    "platform": "Web",
    "timezone": "Europe/Berlin",
    "type": "clientInfo",
}
HELPER, CHARLES = EVERY["recipient"], {"id": "29:1zY8xW7vU6tS5rQ4pO3nM2lK1", "name": "Charles Babbage"}

INBOUND: dict[str, dict[str, Any]] = {
    "message": {
        "text": "What does the contract say about the delivery of the second engine?",
        "textFormat": "plain",
        "type": "message",
        **EVERY,
        "id": "1728640934763",
        "entities": [CLIENT],
        "channelData": {"tenant": {"id": TENANT}},
        "locale": "en-US",
    },
    "message, mentions and attachments": {
        "text": "<at>Helper</at> ask <at>Charles Babbage</at> about these notes",
        "textFormat": "plain",
        "attachments": [
            {
                "contentType": "text/html",
                "content": '<p><span itemtype="http://schema.skype.com/Mention" itemid="0">Helper'
                '</span>&nbsp;ask <span itemtype="http://schema.skype.com/Mention" itemscope="" itemid="1">'
                "Charles Babbage</span>&nbsp;about these notes</p>",
            },
            {
                "contentType": "application/vnd.microsoft.teams.file.download.info",
                "contentUrl": "https://contoso.sharepoint.com/personal/ada/Documents/notes.docx",
                "name": "notes.docx",
                "content": {
                    "downloadUrl": "https://contoso.sharepoint.com/_layouts/15/download.aspx?UniqueId=1150d938",
                    "uniqueId": "1150d938-8870-4044-9f2c-5bbdebad8c9d",
                    "fileType": "docx",
                },
            },
        ],
        "type": "message",
        **EVERY,
        "id": "1728640934764",
        "conversation": {
            "isGroup": True,
            "conversationType": "channel",
            "tenantId": TENANT,
            "id": "19:253b1f341670408fb6fe51050b6e5ceb@thread.skype;messageid=1728640934764",
        },
        "entities": [
            {"mentioned": HELPER, "text": "<at>Helper</at>", "type": "mention"},
            {"mentioned": CHARLES, "text": "<at>Charles Babbage</at>", "type": "mention"},
            CLIENT,
        ],
        "channelData": {
            "teamsChannelId": "19:253b1f341670408fb6fe51050b6e5ceb@thread.skype",
            "teamsTeamId": "19:712c61d0ef384e5fa681ba90ca943398@thread.skype",
            "channel": {"id": "19:253b1f341670408fb6fe51050b6e5ceb@thread.skype"},
            "team": {"id": "19:712c61d0ef384e5fa681ba90ca943398@thread.skype"},
            "tenant": {"id": TENANT},
        },
        "locale": "en-US",
    },
    "invoke": {
        "name": "adaptiveCard/action",
        "type": "invoke",
        **EVERY,
        "id": "f:8d3f2a10-55b4-9d5c-1ad2-0a8e4a6f9b11",
        "replyToId": "1728640934763",
        "value": {
            "action": {
                "type": "Action.Execute",
                "title": "Approve",
                "id": "approve",
                "verb": "approve",
                "data": {
                    "request": 4711,
                    "comment": "Looks good",
                    "when": "2026-09-30",
                    "notify": ["29:1", "29:2"],
                },
            },
            "trigger": "manual",
        },
        "entities": [CLIENT],
        "channelData": {"tenant": {"id": TENANT}, "source": {"name": "message"}},
        "locale": "en-US",
    },
    "conversationUpdate": {
        "membersAdded": [
            {"id": "28:4f1b6a2c-7d0e-4d5c-8a2b-0c8a4a6f9b11"},
            {"id": "29:1zY8xW7vU6tS5rQ4pO3nM2lK1", "aadObjectId": "7a1b0a52-9f0e-4b8e-a5ec-6a4f3f6f0002"},
        ],
        "type": "conversationUpdate",
        **EVERY,
        "id": "f:9e4f3b21-66c5-8e6d-2be3-1b9f5b7a0c22",
        "channelData": {
            "team": {
                "aadGroupId": "0c2a4b60-1f2e-4d3c-8b5a-697887a6b5c4",
                "name": "Engines",
                "id": "19:712c61d0ef384e5fa681ba90ca943398@thread.skype",
            },
            "eventType": "teamMemberAdded",
            "tenant": {"id": TENANT},
        },
    },
}

CARD = {
    "type": "AdaptiveCard",
    "$schema": "http://adaptivecards.io/schemas/adaptive-card.json",
    "version": "1.5",
    "body": [
        {"type": "TextBlock", "text": "Delivery of the second engine", "weight": "Bolder", "size": "Medium"},
        {"type": "FactSet", "facts": [{"title": f"Part {n}", "value": f"{n} of 8"} for n in range(8)]},
        {"type": "Input.Text", "id": "comment", "isMultiline": True, "placeholder": "Say something"},
    ],
    "actions": [{"type": "Action.Execute", "title": "Approve", "verb": "approve", "data": {"request": 4711}}],
}
ANSWER = "The second engine is to be delivered by the end of **October** [1]. " * 20


def outgoing(api: Any) -> dict[str, Any]:
    """Messages as a bot makes them: both SDKs have the same builders."""
    account = api.Account(id=CHARLES["id"], name=CHARLES["name"])

    def message(text: str) -> Any:
        helper = api.Account(id=HELPER["id"], name=HELPER["name"])
        where = api.ConversationAccount(id=EVERY["conversation"]["id"], conversation_type="personal")
        return api.MessageActivityInput(text=text).with_from(helper).with_conversation(where)

    attachment = api.Attachment(content_type="application/vnd.microsoft.card.adaptive", content=CARD)
    source = api.CitationAppearance(
        name="Contract", abstract="Delivery", url="https://contoso.example/contract"
    )
    return {
        "message": message("It is due in October."),
        "answer with citation, label, mention": message(ANSWER)
        .add_mention(account)
        .add_citation(1, source)
        .add_ai_generated()
        .add_feedback(),
        "message with a card": message("Please approve:").add_attachments(attachment),
    }


def cadenza() -> tuple[Callable[[bytes], Any], Callable[[Any], bytes], Any]:
    """How Cadenza reads, how it writes, and its models."""
    from cadenza import api

    return api.parse_activity, api.encode_json, api


def teams_apps() -> tuple[Callable[[bytes], Any], Callable[[Any], bytes], Any]:
    """How the peer's request path reads (api-surface.md 1.5), and how its client and httpx write."""
    warnings.simplefilter("ignore")
    from microsoft_teams import api
    from microsoft_teams.apps.events import CoreActivity

    def read(body: bytes) -> Any:
        core = CoreActivity.model_validate(json.loads(body))
        return api.ActivityTypeAdapter.validate_python(core.model_dump(by_alias=True, exclude_none=True))

    def write(activity: Any) -> bytes:
        content = activity.model_dump(by_alias=True, exclude_none=True)
        return json.dumps(content, ensure_ascii=False, separators=(",", ":"), allow_nan=False).encode()

    return read, write, api


def measure(subject: str, seconds: float) -> dict[str, dict[str, float]]:
    """Microseconds for each payload in this process."""
    read, write, api = cadenza() if subject == OURS else teams_apps()
    bodies = {name: json.dumps(payload).encode() for name, payload in INBOUND.items()}
    gc.freeze()
    return {
        "inbound": {name: _time(partial(read, body), seconds) for name, body in bodies.items()},
        "outgoing": {name: _time(partial(write, one), seconds) for name, one in outgoing(api).items()},
    }


def _time(call: Callable[[], object], seconds: float) -> float:
    """The median of many short measurements: what a quiet moment costs, and not the best of luck."""
    timer = Timer(call, timer=process_time)  # not the time that others had the core
    timer.timeit(200)
    once = timer.timeit(200) / 200
    return 1e6 * median(timer.repeat(max(3, int(seconds / (once * 200))), 200)) / 200


def run(options: argparse.Namespace, folder: Path) -> dict[str, Any]:
    """The median of all rounds for each payload and subject. The subjects take turns, so that a noisy minute
    strikes both."""
    environments = Environments(options.environments or folder / "environments", options.python)
    rounds: dict[str, list[dict[str, dict[str, float]]]] = {OURS: [], PEER: []}
    for round_ in range(options.rounds):
        for subject, figures in rounds.items():
            command = [str(environments.interpreter(subject)), __file__, "--measure", subject]
            said = subprocess.run(
                [*command, "--seconds", str(options.seconds)], check=True, capture_output=True, text=True
            )
            figures.append(json.loads(said.stdout))
            print(f"round {round_ + 1}, {subject}", file=sys.stderr, flush=True)
    return {
        "versions": {subject: environments.version(subject, PACKAGES[subject]) for subject in rounds},
        **{
            way: {
                name: {
                    subject: median(figures[way][name] for figures in measured)
                    for subject, measured in rounds.items()
                }
                for name in rounds[OURS][0][way]
            }
            for way in ("inbound", "outgoing")
        },
    }


def table(results: dict[str, Any]) -> str:
    """Markdown: a row for each payload, and whether the target is met."""
    ours, peer = (f"{name} ({version})" for name, version in results["versions"].items())
    text = f"| | {ours}, µs | {peer}, µs | ratio |\n|---|---:|---:|---:|\n"
    verdicts = []
    for way in ("inbound", "outgoing"):
        sums = {OURS: 0.0, PEER: 0.0}
        for name, figures in results[way].items():
            ratio = figures[OURS] / figures[PEER]
            text += f"| {way}: {name} | {figures[OURS]:.1f} | {figures[PEER]:.1f} | {ratio:.2f} |\n"
            sums = {subject: total + figures[subject] for subject, total in sums.items()}
        ratio = sums[OURS] / sums[PEER]
        text += f"| **{way}, all** | {sums[OURS]:.1f} | {sums[PEER]:.1f} | **{ratio:.2f}** |\n"
        verdicts.append(f"{way} {ratio:.2f} ({'yes' if ratio <= TARGET else 'NO'})")
    return f"{text}\nAt most {TARGET} of the peer's time is wanted: {', '.join(verdicts)}.\n"


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rounds", type=int, default=9, metavar="N", help="of which the median counts")
    parser.add_argument("--seconds", type=float, default=0.3, help="for each payload in each round")
    parser.add_argument("--python", default="3.12", help="what uv makes the environments with")
    parser.add_argument("--environments", type=Path, help="folder to keep them in; else they are removed")
    parser.add_argument("--out", type=Path, help="folder of the table; without it, it is printed only")
    parser.add_argument("--measure", choices=PACKAGES, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.measure:
        print(json.dumps(measure(options.measure, options.seconds)))
        return
    with tempfile.TemporaryDirectory() as folder:
        results = run(options, Path(folder))
    text = table(results)
    if options.out:
        options.out.mkdir(parents=True, exist_ok=True)
        (options.out / "models.json").write_text(json.dumps(results, indent=1) + "\n")
        (options.out / "models.md").write_text(text)
    print(text)


if __name__ == "__main__":
    main()
