"""Payloads of every kind that Teams sends, written from its documentation: name -> JSON object.

The invokes have the fields of api-surface.md 1.7; ids and tokens are made up.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any


def envelope(kind: str, **fields: Any) -> dict[str, Any]:
    """An activity of the type ``kind`` in a personal chat."""
    return {
        "type": kind,
        "id": "f:3c4e1b6a-7d0e-4d5c-8a2b-0c8a4a6f9b11",
        "timestamp": "2026-09-23T20:07:49.471Z",
        "localTimestamp": "2026-09-23T22:07:49.471+02:00",
        "localTimezone": "Europe/Berlin",
        "channelId": "msteams",
        "serviceUrl": "https://smba.trafficmanager.net/emea/",
        "from": {
            "id": "29:1ada",
            "name": "Ada Lovelace",
            "aadObjectId": "6f2c0a52-9f0e-4b8e-a5ec-6a4f3f6f0001",
        },
        "conversation": {
            "id": "a:1helper",
            "conversationType": "personal",
            "tenantId": "9b1d3c80-0000-4000-8000-000000000001",
        },
        "recipient": {"id": "28:helper", "name": "Helper"},
        "entities": [
            {
                "type": "clientInfo",
                "locale": "en-US",
                "country": "US",
                "platform": "Web",
                "timezone": "Europe/Berlin",
            }
        ],
        "channelData": {
            "tenant": {"id": "9b1d3c80-0000-4000-8000-000000000001"},
            "source": {"name": "compose"},
        },
        "locale": "en-US",
        **fields,
    }


def invoke(name: str, value: Any, **fields: Any) -> dict[str, Any]:
    """An invoke called ``name``."""
    return envelope("invoke", name=name, value=value, **fields)


def lost(came: Any, written: Any, place: str = "") -> list[str]:
    """Where ``written`` does not hold what ``came``: keys that are gone and values that differ. A null
    in an object says no more than its absence; times may be written differently.

    What ``written`` has besides is not looked at: the defaults of what never came (a ``channelId``, a
    conversation whose id is empty). So this is the law that nothing is lost, not that nothing is added.
    """
    if isinstance(came, dict):
        if not isinstance(written, dict):
            return [place]
        said = {key: value for key, value in came.items() if value is not None}
        gone = [f"{place}/{key}" for key in said if key not in written]
        kept = [key for key in said if key in written]
        return gone + [at for key in kept for at in lost(came[key], written[key], f"{place}/{key}")]
    if isinstance(came, list):
        if not isinstance(written, list) or len(came) != len(written):
            return [place]
        pairs = enumerate(zip(came, written, strict=True))
        return [at for i, (before, after) in pairs for at in lost(before, after, f"{place}/{i}")]
    same = type(came) is type(written) and (
        came == written or _instant(came) == _instant(written) is not None
    )
    return [] if same else [place]


def _instant(value: Any) -> datetime | None:
    try:
        return datetime.fromisoformat(value)
    except (TypeError, ValueError):
        return None


# --- invokes (api-surface.md 1.7) -------------------------------------------------------------------------

_MESSAGE_PAYLOAD: dict[str, Any] = {
    "linkToMessage": "https://teams.microsoft.com/l/message/19:c@thread.skype/1728640934763",
    "id": "1728640934763",
    "replyToId": None,
    "messageType": "message",
    "createdDateTime": "2026-09-22T19:46:57.577Z",
    "lastModifiedDateTime": None,
    "deleted": False,
    "subject": "Engines",
    "summary": None,
    "importance": "normal",
    "locale": "en-us",
    "body": {"contentType": "html", "content": "<div>the engine</div>", "textContent": "the engine"},
    "from": {
        "device": None,
        "conversation": None,
        "user": {
            "userIdentityType": "aadUser",
            "id": "6f2c0a52-9f0e-4b8e-a5ec-6a4f3f6f0001",
            "displayName": "Ada Lovelace",
        },
        "application": None,
    },
    "attachmentLayout": "list",
    "attachments": [
        {
            "id": "5e32f195",
            "contentType": "reference",
            "contentUrl": "https://contoso.sharepoint.com/notes.docx",
            "content": None,
            "name": "notes.docx",
            "thumbnailUrl": None,
        }
    ],
    "mentions": [
        {
            "id": 0,
            "mentionText": "Helper",
            "mentioned": {
                "application": {
                    "applicationIdentityType": "bot",
                    "id": "b5ba9f70-0000-4000-8000-000000000002",
                    "displayName": "Helper",
                },
                "user": None,
                "conversation": None,
            },
        },
        {
            "id": 1,
            "mentionText": "General",
            "mentioned": {
                "conversation": {
                    "conversationIdentityType": "channel",
                    "id": "19:c@thread.skype",
                    "displayName": "General",
                }
            },
        },
    ],
    "reactions": [
        {
            "type": "like",
            "reactionType": "like",
            "createdDateTime": "2026-09-22T19:50:00Z",
            "user": {"userIdentityType": "aadUser", "id": "u-2", "displayName": "Charles Babbage"},
        }
    ],
}

INVOKES: dict[str, dict[str, Any]] = {
    "task/fetch": invoke(
        "task/fetch",
        {
            "data": {"type": "task/fetch", "dialog_id": "simple_form", "msteams": {"type": "task/fetch"}},
            "context": {"theme": "dark"},
            "tabContext": {"tabEntityId": "home"},
        },
    ),
    "task/submit": invoke(
        "task/submit",
        {"data": {"action": "save", "name": "Ada"}, "context": {"theme": "default"}},
    ),
    "message/fetchTask": invoke(
        "message/fetchTask",
        {"data": {"actionName": "feedback", "actionValue": {"reaction": "like"}}},
        replyToId="1728640934763",
    ),
    "message/submitAction": invoke(
        "message/submitAction",
        {
            "actionName": "feedback",
            "actionValue": {"reaction": "dislike", "feedback": '{"feedbackText":"too long"}'},
        },
        replyToId="1728640934763",
    ),
    "composeExtension/query": invoke(
        "composeExtension/query",
        {
            "commandId": "searchQuery",
            "parameters": [{"name": "searchQuery", "value": "engine"}],
            "queryOptions": {"skip": 0, "count": 25},
        },
    ),
    "composeExtension/selectItem": invoke(
        "composeExtension/selectItem", {"package": {"name": "engine", "version": "1.0.0"}}
    ),
    "composeExtension/queryLink": invoke(
        "composeExtension/queryLink", {"url": "https://contoso.example/items/1", "state": "123456"}
    ),
    "composeExtension/anonymousQueryLink": invoke(
        "composeExtension/anonymousQueryLink", {"url": "https://contoso.example/items/1"}
    ),
    "composeExtension/querySettingUrl": invoke(
        "composeExtension/querySettingUrl", {"commandId": "searchQuery"}
    ),
    "composeExtension/setting": invoke(
        "composeExtension/setting", {"commandId": "searchQuery", "state": "CancelledByUser"}
    ),
    "composeExtension/onCardButtonClicked": invoke(
        "composeExtension/onCardButtonClicked", {"item": 7, "type": "invoke"}
    ),
    "composeExtension/fetchTask": invoke(
        "composeExtension/fetchTask",
        {
            "commandId": "createTask",
            "commandContext": "message",
            "context": {"theme": "contrast"},
            "messagePayload": _MESSAGE_PAYLOAD,
        },
    ),
    "composeExtension/submitAction": invoke(
        "composeExtension/submitAction",
        {
            "commandId": "createTask",
            "commandContext": "compose",
            "botMessagePreviewAction": "send",
            "botActivityPreview": [
                {
                    "type": "message/card",
                    "attachments": [
                        {
                            "contentType": "application/vnd.microsoft.card.adaptive",
                            "content": {"type": "AdaptiveCard", "version": "1.5", "body": []},
                        }
                    ],
                    "channelData": {},
                },
                {"type": "message", "id": "1", "text": "preview", "attachmentLayout": "list"},
            ],
            "data": {"title": "Engine", "due": None},
            "context": {"theme": "default"},
        },
    ),
    "adaptiveCard/action": invoke(
        "adaptiveCard/action",
        {
            "action": {
                "type": "Action.Execute",
                "title": "Save",
                "id": "save-button",
                "verb": "save",
                "data": {"action": "save", "name": "Ada"},
            },
            "trigger": "manual",
        },
        replyToId="1728640934763",
    ),
    "adaptiveCard/action with token": invoke(
        "adaptiveCard/action",
        {
            "action": {"type": "Action.Execute", "id": "a", "verb": "profile", "data": {}},
            "authentication": {"id": "req-1", "connectionName": "graph", "token": "eyJ0"},
            "state": "123456",
            "trigger": "manual",
        },
    ),
    "application/search": invoke(
        "application/search",
        {
            "kind": "search",
            "queryText": "eng",
            "queryOptions": {"skip": 0, "top": 15},
            "context": {"theme": "default"},
            "dataset": "engines",
            "data": {"country": "uk"},
        },
    ),
    "signin/tokenExchange": invoke(
        "signin/tokenExchange", {"id": "req-1", "connectionName": "graph", "token": "eyJ0"}
    ),
    "signin/verifyState": invoke("signin/verifyState", {"state": "123456"}),
    "signin/failure": invoke(
        "signin/failure", {"code": "resourcematchfailed", "message": "Resource match failed"}
    ),
    "fileConsent/invoke accept": invoke(
        "fileConsent/invoke",
        {
            "type": "fileUpload",
            "action": "accept",
            "context": {"file": "report-7"},
            "uploadInfo": {
                "name": "report.txt",
                "uploadUrl": "https://contoso.sharepoint.com/_api/v2.0/drive/items/01/uploadSession?guid=1",
                "contentUrl": "https://contoso.sharepoint.com/personal/ada/report.txt",
                "uniqueId": "2635A316-EED1-4DDA-A8BB-9CFC7F64A5F3",
                "fileType": "txt",
            },
        },
    ),
    "fileConsent/invoke decline": invoke(
        "fileConsent/invoke", {"type": "fileUpload", "action": "decline", "context": {"file": "report-7"}}
    ),
    "actionableMessage/executeAction": invoke(
        "actionableMessage/executeAction", {"body": '{"due":"2026-10-01"}', "actionId": "set-due"}
    ),
    "config/fetch": invoke("config/fetch", {"data": None, "context": {"theme": "dark"}}),
    "config/submit": invoke("config/submit", {"data": {"language": "de"}}),
    "tab/fetch": invoke(
        "tab/fetch",
        {"tabContext": {"tabEntityId": "home"}, "context": {"theme": "default"}, "state": "123456"},
    ),
    "tab/submit": invoke(
        "tab/submit",
        {
            "tabContext": {"tabEntityId": "home"},
            "context": {"theme": "default"},
            "data": {"type": "tab/submit", "answer": 42},
        },
    ),
    "handoff/action": invoke("handoff/action", {"continuation": "c-1"}),
    "suggestedActions/submit": invoke("suggestedActions/submit", {"choice": "yes"}),
    "htmlwidget/calltool": invoke("htmlwidget/calltool", {"name": "add", "arguments": {"a": 1, "b": 2}}),
    "an invoke of next year": invoke("future/thing", {"deep": [{"x": None}, 1.5]}),
}

# --- messages and events (M1) -----------------------------------------------------------------------------

_CHANNEL: dict[str, Any] = {
    "conversation": {
        "id": "19:general@thread.tacv2;messageid=1728640934763",
        "conversationType": "channel",
        "isGroup": True,
        "tenantId": "9b1d3c80-0000-4000-8000-000000000001",
    },
}

_TEAM: dict[str, Any] = {
    "team": {
        "id": "19:team@thread.tacv2",
        "name": "Engines",
        "aadGroupId": "0c2a4b60-0000-4000-8000-000000000003",
        "teamType": "standard",
        "memberCount": 12,
        "channelCount": 3,
    },
    "tenant": {"id": "9b1d3c80-0000-4000-8000-000000000001"},
}

_MEETING: dict[str, Any] = {
    "Id": "MCMxOTptZWV0aW5nX2FkYQ==",
    "MeetingType": "Scheduled",
    "JoinUrl": "https://teams.microsoft.com/l/meetup-join/19%3ameeting_ada/0",
    "Title": "Weekly",
}


def _conversation_changed(event: str, **channel_data: Any) -> dict[str, Any]:
    return envelope(
        "conversationUpdate",
        **_CHANNEL,
        channelData={
            **_TEAM,
            "eventType": event,
            "channel": {"id": "19:c@thread.tacv2", "name": "Boiler room", "type": "private"},
            **channel_data,
        },
    )


def _event(name: str, value: Any, **fields: Any) -> dict[str, Any]:
    return envelope("event", name=name, value=value, **fields)


def _meeting_event(what: str, value: Any) -> dict[str, Any]:
    return _event(
        f"application/vnd.microsoft.meeting{what}",
        value,
        channelData={
            "tenant": {"id": "9b1d3c80-0000-4000-8000-000000000001"},
            "meeting": {"id": "MCMxOTptZWV0aW5nX2FkYQ=="},
        },
    )


def _agentic(what: str, **value: Any) -> dict[str, Any]:
    return envelope(
        "event",
        name="agentLifecycle",
        valueType=what,
        value={
            "eventType": what[0].lower() + what[1:],
            "tenantId": "9b1d3c80-0000-4000-8000-000000000001",
            "agenticUserId": "a5e1c7b0-0000-4000-8000-000000000004",
            "agenticAppInstanceId": "a5e1c7b0-0000-4000-8000-000000000005",
            "agentIdentityBlueprintId": "a5e1c7b0-0000-4000-8000-000000000006",
            "version": 3,
            **value,
        },
        recipient={
            "id": "8:orgid:agent",
            "name": "Agent",
            "role": "agenticUser",
            "agenticUserId": "a5e1c7b0-0000-4000-8000-000000000004",
            "agenticAppId": "a5e1c7b0-0000-4000-8000-000000000005",
            "agenticAppBlueprintId": "a5e1c7b0-0000-4000-8000-000000000006",
            "tenantId": "9b1d3c80-0000-4000-8000-000000000001",
            "callbackUri": "https://contoso.example/agents",
        },
    )


_SCHEMA = "https://schema.org/Message"

OTHERS: dict[str, dict[str, Any]] = {
    "a message": envelope("message", text="What is the answer?", textFormat="plain"),
    "a message in a channel": envelope(
        "message",
        **_CHANNEL,
        text="<at>Helper</at> look at <at>Charles</at>'s notes",
        textFormat="plain",
        replyToId="1728640934760",
        importance="high",
        deliveryMode="normal",
        inputHint="acceptingInput",
        attachmentLayout="list",
        summary="notes",
        speak="look",
        expiration="2026-10-01T00:00:00Z",
        attachments=[
            {
                "contentType": "text/html",
                "content": '<div><span itemtype="http://schema.skype.com/Mention">Helper</span></div>',
            },
            {
                "contentType": "application/vnd.microsoft.teams.file.download.info",
                "contentUrl": "https://contoso.sharepoint.com/personal/ada/notes.docx",
                "name": "notes.docx",
                "content": {
                    "downloadUrl": "https://contoso.sharepoint.com/download?share=notes",
                    "uniqueId": "1150d938-8870-4044-9f2c-5bbdebad8c9d",
                    "fileType": "docx",
                    "etag": None,
                },
            },
            {
                "contentType": "image/*",
                "contentUrl": "https://smba.example/v3/attachments/0-1/views/original",
            },
        ],
        entities=[
            {
                "type": "mention",
                "mentioned": {"id": "28:helper", "name": "Helper"},
                "text": "<at>Helper</at>",
            },
            {
                "type": "mention",
                "mentioned": {"id": "29:2", "name": "Charles", "type": "person"},
                "text": "<at>Charles</at>",
            },
            {"type": "clientInfo", "locale": "en-US", "country": "US", "platform": "iOS"},
        ],
        channelData={
            **_TEAM,
            "teamsChannelId": "19:c@thread.tacv2",
            "teamsTeamId": "19:team@thread.tacv2",
            "channel": {"id": "19:c@thread.tacv2", "name": "General", "type": "standard"},
            "settings": {"selectedChannel": {"id": "19:c@thread.tacv2"}},
            "notification": {"alert": True, "alertInMeeting": False, "externalResourceUrl": "https://x"},
            "app": {"id": "b5ba9f70-0000-4000-8000-000000000002", "version": "1.0.0"},
        },
    ),
    "a message with every entity": envelope(
        "message",
        text='<quoted messageId="1728640934700"/> and',
        relatesTo={
            "activityId": "1",
            "serviceUrl": "https://smba.trafficmanager.net/emea/",
            "channelId": "msteams",
            "conversation": {"id": "a:1helper"},
            "bot": {"id": "28:helper"},
            "user": {"id": "29:1ada"},
            "locale": "en-US",
        },
        entities=[
            {"type": "ProductInfo", "id": "COPILOT"},
            {
                "type": "quotedReply",
                "quotedReply": {
                    "messageId": "1728640934700",
                    "senderId": "29:2",
                    "senderName": "Charles",
                    "preview": "It has",
                    "time": "1728640934700",
                    "isReplyDeleted": False,
                    "validatedMessageReference": True,
                },
            },
            {"type": "targetedMessageInfo", "messageId": "1728640934701"},
            {"type": "streaminfo", "streamId": "s-1", "streamType": "streaming", "streamSequence": 4},
            {"type": "streamInfo", "streamId": "s-1", "streamType": "final"},
            {
                "type": _SCHEMA,
                "@type": "Message",
                "@context": "https://schema.org",
                "@id": "",
                "additionalType": ["AIGeneratedContent"],
                "citation": [
                    {
                        "@type": "Claim",
                        "position": 1,
                        "appearance": {
                            "@type": "DigitalDocument",
                            "name": "Notes",
                            "abstract": "On engines",
                            "text": "{}",
                            "url": "https://contoso.example/notes",
                            "encodingFormat": "application/vnd.microsoft.card.adaptive",
                            "image": {"@type": "ImageObject", "name": "Microsoft Word"},
                            "keywords": ["engine"],
                            "usageInfo": {
                                "@type": "CreativeWork",
                                "@id": "u-1",
                                "name": "Secret",
                                "description": "Not for others",
                                "position": 1,
                            },
                        },
                    }
                ],
            },
            {
                "type": _SCHEMA,
                "@type": "Message",
                "usageInfo": {
                    "type": _SCHEMA,
                    "@type": "CreativeWork",
                    "name": "Confidential",
                    "description": "Inside only",
                    "pattern": {
                        "@type": "DefinedTerm",
                        "inDefinedTermSet": "https://contoso.example/labels",
                        "name": "Confidential",
                        "termCode": "c-1",
                    },
                },
            },
            {"type": _SCHEMA, "@type": "Message", "additionalType": ["AIGeneratedContent"]},
            {"type": _SCHEMA},
            {"type": "thought", "depth": {"of": [1, None, {"x": 1.5}]}},
            {"shape": "round"},
        ],
    ),
    "the answer to a card": envelope(
        "message", text="", replyToId="1728640934763", value={"choice": "b", "nothing": None, "deep": [{}]}
    ),
    "a stream": envelope(
        "typing",
        text="Thin",
        textFormat="markdown",
        channelData={"streamId": "s-1", "streamType": "streaming", "streamSequence": 2},
    ),
    "typing": envelope("typing"),
    "a message with buttons": envelope(
        "message",
        text="?",
        suggestedActions={
            "to": ["29:1ada"],
            "actions": [
                {
                    "type": "imBack",
                    "title": "Yes",
                    "value": "yes",
                    "text": "y",
                    "displayText": "Yes!",
                    "image": "https://x/y.png",
                    "imageAltText": "a tick",
                    "channelData": {"x": 1},
                }
            ],
        },
        channelData={"feedbackLoop": {"type": "custom"}},
    ),
    "an edit": envelope(
        "messageUpdate",
        text="What was the answer?",
        textFormat="plain",
        channelData={"eventType": "editMessage", "tenant": {"id": "t"}},
    ),
    "an undeletion": envelope("messageUpdate", text="!", channelData={"eventType": "undeleteMessage"}),
    "a deletion": envelope("messageDelete", channelData={"eventType": "softDeleteMessage"}),
    "reactions": envelope(
        "messageReaction",
        replyToId="1728640934763",
        reactionsAdded=[
            {
                "type": "like",
                "createdDateTime": "2026-09-23T20:07:49Z",
                "user": {"id": "u-2", "userIdentityType": "aadUser", "displayName": "Charles"},
            },
            {"type": "1f44b_wavinghand-tone4"},
        ],
        reactionsRemoved=[{"type": "heart"}],
    ),
    "members came": envelope(
        "conversationUpdate",
        membersAdded=[
            {"id": "28:helper"},
            {"id": "29:2", "aadObjectId": "6f2c", "name": "Charles", "type": "person", "role": "user"},
        ],
        membersRemoved=[{"id": "29:3", "properties": {"x": None, "y": [1]}}],
        topicName="Engines",
        historyDisclosed=True,
        channelData={**_TEAM, "eventType": "teamMemberAdded"},
    ),
    **{
        event: _conversation_changed(event)
        for event in (
            "channelCreated",
            "channelDeleted",
            "channelRenamed",
            "channelRestored",
            "teamArchived",
            "teamDeleted",
            "teamHardDeleted",
            "teamRenamed",
            "teamRestored",
            "teamUnarchived",
        )
    },
    "a channel is shared": _conversation_changed(
        "channelShared", sharedWithTeams=[{"id": "19:other@thread.tacv2", "tenantId": "t-2"}]
    ),
    **{
        f"installation: {action}": envelope(
            "installationUpdate", action=action, channelData={**_TEAM, "source": {"name": "message"}}
        )
        for action in ("add", "remove", "upgrade", "add-upgrade", "remove-upgrade", "polish")
    },
    "a meeting begins": _meeting_event("Start", {**_MEETING, "StartTime": "2026-09-23T20:00:00.1234567Z"}),
    "a meeting ends": _meeting_event("End", {**_MEETING, "EndTime": "2026-09-23T21:00:00Z"}),
    **{
        f"participants {verb}": _meeting_event(
            what,
            {
                "members": [
                    {
                        "user": {
                            "id": "29:2",
                            "objectId": "6f2c",
                            "name": "Charles",
                            "givenName": "Charles",
                            "surname": "Babbage",
                            "email": "charles@contoso.example",
                            "userRole": "user",
                            "userPrincipalName": "charles@contoso.example",
                            "tenantId": "t-1",
                        },
                        "meeting": {"inMeeting": verb == "join", "role": "Attendee"},
                    }
                ]
            },
        )
        for verb, what in (("join", "ParticipantJoin"), ("leave", "ParticipantLeave"))
    },
    "a read receipt": _event("application/vnd.microsoft.readReceipt", {"lastReadMessageId": "1728640934763"}),
    "an agentic user is made": _agentic(
        "AgenticUserIdentityCreated",
        manager={"userId": "u-9", "email": "boss@contoso.example", "displayName": "Boss"},
        expirationDateTime="2027-01-01T00:00:00Z",
    ),
    "an agentic user changes": _agentic(
        "AgenticUserIdentityUpdated",
        updatedProperty={"propertyName": "displayName", "propertyValue": "Agent 2"},
    ),
    "an agentic user is told its manager": _agentic(
        "AgenticUserManagerUpdated", manager={"managerId": "u-10"}
    ),
    "an agentic user is enabled": _agentic("AgenticUserEnabled"),
    "an agentic user is disabled": _agentic("AgenticUserDisabled"),
    "an agentic user is deleted": _agentic("AgenticUserDeleted", deletionReason="expired"),
    "an agentic user is back": _agentic("AgenticUserUndeleted"),
    "an agentic user is set up": _agentic(
        "AgenticUserWorkloadOnboardingUpdated", workloadName="Teams", workloadOnboardingState="completed"
    ),
    "an agentic user does something new": _agentic("AgenticUserPromoted", rank=[1]),
    "an event of next year": _event("application/vnd.microsoft.future", [{"x": None}, "y"]),
    "a command": envelope(
        "command", name="application/vnd.contoso.do", value={"commandId": "c-1", "data": {"x": [1]}}
    ),
    "a result": envelope(
        "commandResult",
        name="application/vnd.contoso.do",
        value={"commandId": "c-1", "data": "done", "error": {"code": "none"}},
    ),
    "the end": envelope("endOfConversation", code="completedSuccessfully", text="bye", value={"x": 1}),
    "a trace": envelope("trace", name="t", label="l", valueType="v", value={"x": [None]}),
    "a handoff": envelope("handoff", name="h", value={"continuation": "c"}),
    "a type of next year": envelope("contactRelationUpdate", action="add", thing={"a": [{}]}),
}

PAYLOADS: dict[str, dict[str, Any]] = {**INVOKES, **OTHERS}
"""All of them."""
