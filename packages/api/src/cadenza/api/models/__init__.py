"""The JSON that travels between Teams and a bot, as pydantic models."""
