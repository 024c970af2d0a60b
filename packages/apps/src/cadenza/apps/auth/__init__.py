"""Who may speak to the bot (inbound tokens), and as whom it speaks (outbound tokens)."""
