"""What an invoke is answered with: `InvokeResponse`, an HTTP status and a JSON body."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Generic, TypeAlias, TypeGuard, TypeVar

BodyT = TypeVar("BodyT")

_FIELDS = frozenset({"status", "body"})


@dataclass(frozen=True)  # no slots: a frozen class with slots cannot be called as InvokeResponse[X](...)
class InvokeResponse(Generic[BodyT]):
    """An HTTP status and a JSON body. Return one from the handler of an invoke to choose the status."""

    status: int = 200
    body: BodyT | None = None


def is_invoke_response(value: object) -> TypeGuard[InvokeResponse[Any] | Mapping[str, Any]]:
    """Whether `value` says itself which status it is answered with: an `InvokeResponse`, or a mapping of
    just a numeric `status` and, perhaps, a `body`. Everything else is the body of a 200.

    A mapping with other keys beside `status` is a body that happens to have that name (not as in the
    reference, where it sets the status: api-surface.md 3.3 P10).
    """
    if isinstance(value, InvokeResponse):
        return True
    return isinstance(value, Mapping) and type(value.get("status")) is int and value.keys() <= _FIELDS


VoidInvokeResponse: TypeAlias = None
"""What the handler of an invoke returns that is answered without a body."""

if TYPE_CHECKING:
    from .adaptive_card import AdaptiveCardInvokeResponse
    from .config import ConfigResponse
    from .html_widget import HtmlWidgetCallToolResponse
    from .message_extension import MessagingExtensionActionResponse, MessagingExtensionResponse
    from .search import SearchResponse
    from .tab import TabResponse
    from .task_module import TaskModuleResponse
    from .token import TokenExchangeInvokeResponse

    InvokeResponseBody: TypeAlias = (
        AdaptiveCardInvokeResponse
        | ConfigResponse
        | HtmlWidgetCallToolResponse
        | MessagingExtensionActionResponse
        | MessagingExtensionResponse
        | SearchResponse
        | TabResponse
        | TaskModuleResponse
        | TokenExchangeInvokeResponse
        | VoidInvokeResponse
    )
    """The documented bodies (api-surface.md 1.7)."""
else:
    InvokeResponseBody: TypeAlias = Any  # a name for type checkers: it must not load all those models
