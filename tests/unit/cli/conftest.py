import sys
from collections.abc import Iterator

import pytest


@pytest.fixture(autouse=True)
def _own_modules() -> Iterator[None]:
    """Loading a bot changes what is imported from where: put that back."""
    path, modules = sys.path[:], set(sys.modules)
    yield
    sys.path[:] = path
    for name in set(sys.modules) - modules:
        if not name.startswith("cadenza."):
            del sys.modules[name]
