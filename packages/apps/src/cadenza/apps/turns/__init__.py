"""Turns: in which order activities run, and the scope that one of them runs in."""
