"""The card that asks a user to sign in, and who sees it.

    conversation     seen by              tokenExchangeResource
    personal         the user             yes: Teams tries to sign in silently first
    group chat       the user (targeted)  yes
    channel          the user (targeted)  no: single sign-on does not work there

A card that all can see must not be: whoever presses its button signs in (api-surface.md 1.10 and 3.3, P18).
"""

from __future__ import annotations

import base64
import inspect
import json
from typing import TYPE_CHECKING, Literal

from cadenza import api as teams

from ..sending import as_activity, asked_in_private, asker
from .flow import OAuthFlow
from .options import BUTTON_TEXT, CARD_TEXT, SignInOptions

if TYPE_CHECKING:
    from cadenza.api import Activity, ActivityInput, ConversationReference, SignInUrlResponse

__all__ = ["audience", "encoded_state", "sign_in_activity"]


def audience(activity: Activity) -> Literal["personal", "groupChat", "channel"]:
    """Who would see a message that is not targeted. The conversation's type decides, then whether a channel
    or a team is named, then `isGroup`, and at last the id, which begins with "19:" where others are: any
    of them may be missing. A new type is taken for a group."""
    conversation = activity.conversation
    kind = (conversation.conversation_type or "").lower()
    if kind == "personal":
        return "personal"
    if kind == "channel" or (not kind and (activity.channel or activity.team)):
        return "channel"
    others = conversation.is_group
    if others is None:
        others = conversation.id.startswith("19:")
    return "groupChat" if kind or others else "personal"


def encoded_state(
    connection_name: str, ref: ConversationReference, relates_to: ConversationReference | None, app_id: str
) -> str:
    """What the link to sign in carries: JSON, in Base64."""
    state = teams.TokenExchangeState(
        connection_name=connection_name, conversation=ref, relates_to=relates_to, ms_app_id=app_id
    )
    return base64.b64encode(json.dumps(state.to_wire()).encode()).decode()


async def sign_in_activity(
    inbound: Activity,
    connection_name: str,
    resource: SignInUrlResponse,
    options: SignInOptions,
    flow: OAuthFlow | None,
) -> ActivityInput:
    """What asks the sender of `inbound` to sign in, and nobody else. Raises what the function of the options
    raises, and TypeError if it gives nothing that can be sent."""
    seen_by = audience(inbound)
    exchange = None if seen_by == "channel" else resource.token_exchange_resource
    make = options.override_sign_in_activity
    if make is not None:
        made = make(exchange, resource.token_post_resource, resource.sign_in_link)
        activity = as_activity(await made if inspect.isawaitable(made) else made)
    else:
        text = options.oauth_card_text or (flow.oauth_card_text if flow else CARD_TEXT)
        button = options.sign_in_button_text or (flow.sign_in_button_text if flow else BUTTON_TEXT)
        card = teams.OAuthCard(
            text=text,
            connection_name=connection_name,
            token_exchange_resource=exchange,
            token_post_resource=resource.token_post_resource,
            buttons=[teams.CardAction(type="signin", title=button, value=resource.sign_in_link or "")],
        )
        activity = as_activity(card)
    if seen_by == "personal" or not isinstance(activity, teams.MessageActivityInput):
        return activity
    if activity.recipient is not None or asked_in_private(
        inbound
    ):  # ctx.send targets the answer to a whisper
        return activity
    return activity.model_copy(update={"recipient": asker(inbound)})
