"""The adapters of cadenza.agents, on the real packages of other agent frameworks, with fake models.

Each `on_*.py` here plays a `Script` on one framework, and is imported by the tests alone, when they run: the
frameworks are in a group of their own (`uv run --group frameworks pytest -m frameworks`).
"""
