"""What a developer of bots uses: `cadenza chat`, a conversation with a bot in the terminal, offline."""
