"""What all tests here are marked with."""

import pytest

FRAMEWORKS = [
    pytest.mark.frameworks,
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),  # of the frameworks, about themselves
    pytest.mark.filterwarnings("ignore::PendingDeprecationWarning"),
]
