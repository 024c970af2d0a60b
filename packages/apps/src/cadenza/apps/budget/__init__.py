"""How often the bot may send: a pure core (permits.py and what it imports), the driver (rate_budget.py), and
the transport that puts it in front of ordinary requests. Streams ask by themselves."""

from .limits import TEAMS_RATES, RateLimits, Window
from .outbound import Outbound, Priority
from .rate_budget import RateBudget
from .statistics import BudgetStatistics
from .transport import BudgetTransport

__all__ = [
    "TEAMS_RATES",
    "BudgetStatistics",
    "BudgetTransport",
    "Outbound",
    "Priority",
    "RateBudget",
    "RateLimits",
    "Window",
]
