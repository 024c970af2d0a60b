"""Names that there are not: the packages load theirs when they are used, and yet type checkers know them."""

from cadenza.api import MessageActivty  # error
from cadenza.apps import Ap  # error

print(MessageActivty, Ap)
