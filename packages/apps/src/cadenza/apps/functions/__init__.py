"""Functions that a tab page calls: `App.func` and what its functions are given."""

from .context import ClientContext, FunctionContext

__all__ = ["ClientContext", "FunctionContext"]
