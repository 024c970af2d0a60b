"""How a text shows where it quotes a message: `<quoted messageId="..."/>` (api-surface.md 1.8, 1.10)."""

import html
import re

QUOTE_MARK = re.compile(r"<quoted\s[^<>]*/>")
"""What stands in a text for a quoted message."""


def quote_mark(message_id: str) -> str:
    return f'<quoted messageId="{html.escape(message_id)}"/>'
