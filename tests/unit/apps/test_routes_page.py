import importlib.util
from pathlib import Path

ROOT = Path(__file__).parents[3]


def test_the_table_of_the_page_is_that_of_the_code() -> None:
    spec = importlib.util.spec_from_file_location("draw_routes", ROOT / "docs/draw_routes.py")
    assert spec is not None
    assert spec.loader is not None
    drawing = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(drawing)
    page = drawing.PAGE.read_text()
    stale = "docs/reference/routes.md is stale: run `uv run python docs/draw_routes.py`"
    assert drawing.updated(page) == page, stale
