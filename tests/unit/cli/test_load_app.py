from pathlib import Path

import pytest
from cadenza.apps import App
from cadenza.cli import BotError, load_app

BOT = "from cadenza.apps import App\napp = App()\n"


def bot(folder: Path, code: str = BOT, name: str = "main.py") -> Path:
    file = folder / name
    file.parent.mkdir(exist_ok=True)
    file.write_text(code)
    return file


@pytest.mark.parametrize("name", ["main.py", "src/main.py"])
def test_a_folder_is_a_bot_if_it_holds_a_main_file(tmp_path: Path, name: str) -> None:
    bot(tmp_path, name=name)
    assert isinstance(load_app(tmp_path), App)


def test_any_python_file_is_a_bot(tmp_path: Path) -> None:
    assert isinstance(load_app(bot(tmp_path, name="echo.py")), App)


def test_a_module_and_a_name_are_a_bot(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    bot(tmp_path, BOT.replace("app =", "clerk ="), "office.py")
    monkeypatch.chdir(tmp_path)
    assert isinstance(load_app("office:clerk"), App)


def test_a_file_is_run_anew_each_time(tmp_path: Path) -> None:
    bot(tmp_path)
    assert load_app(tmp_path) is not load_app(tmp_path)


def test_a_bot_imports_the_modules_beside_it(tmp_path: Path) -> None:
    bot(tmp_path, "from shelf_of_the_bot import app", "src/main.py")
    bot(tmp_path / "src", name="shelf_of_the_bot.py")
    assert isinstance(load_app(tmp_path), App)


def test_a_bot_does_not_start_itself_when_it_is_loaded(tmp_path: Path) -> None:
    bot(tmp_path, BOT + "assert __name__ != '__main__'")
    load_app(tmp_path)


def test_what_the_bot_imports_is_found_before_what_is_elsewhere(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    bot(elsewhere, "app = None", "shelf_of_this_bot.py")
    monkeypatch.syspath_prepend(elsewhere)
    bot(tmp_path, "from shelf_of_this_bot import app")
    bot(tmp_path, name="shelf_of_this_bot.py")
    assert isinstance(load_app(tmp_path), App)


@pytest.mark.parametrize(
    ("path", "problem"),
    [
        ("nowhere", "there is no 'nowhere': a bot is a folder with a main.py or src/main.py, a Python"),
        ("", "holds no main.py and no src/main.py"),
        ("notes.txt", "notes.txt is no Python file"),
        ("empty.py", "empty.py holds no 'app': give the App that name"),
        ("number.py", "'app' in number.py is no cadenza App but of type int"),
        ("nowhere:app", "there is no module 'nowhere' here"),
        ("empty:clerk", "empty holds no 'clerk'"),
        (":app", "there is no ':app'"),
        ("empty:", "there is no 'empty:'"),
    ],
)
def test_a_path_without_an_app_is_one_line_that_says_what_is_wrong(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, path: str, problem: str
) -> None:
    bot(tmp_path, "", "empty.py")
    bot(tmp_path, "app = 3", "number.py")
    bot(tmp_path, "", "notes.txt")
    monkeypatch.chdir(tmp_path)
    with pytest.raises(BotError) as caught:
        load_app(path)
    assert problem in str(caught.value)
    assert "\n" not in str(caught.value)
    assert caught.value.format_cause() == ""


@pytest.mark.parametrize(
    ("code", "problem"),
    [
        ("import nothing_like_it", "cannot be run: ModuleNotFoundError: No module named 'nothing_like_it'"),
        ("1 / 0", "cannot be run: ZeroDivisionError: division by zero"),
        ("def", "cannot be run: SyntaxError: invalid syntax (main.py, line 1)"),
        ("raise SystemExit('no\\nlicense')", "cannot be run: SystemExit: no license"),
    ],
)
def test_a_bot_whose_code_fails_is_one_line_and_its_own_traceback(
    tmp_path: Path, code: str, problem: str
) -> None:
    bot(tmp_path, code)
    with pytest.raises(BotError) as caught:
        load_app(tmp_path)
    assert str(caught.value).endswith(problem)
    trace = caught.value.format_cause()
    assert "main.py" in trace
    assert "cadenza" not in trace


def test_a_module_that_imports_what_is_not_there_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bot(tmp_path, "import nothing_like_it", "needy.py")
    monkeypatch.chdir(tmp_path)
    with pytest.raises(BotError, match=r"the module needy cannot be imported: .*'nothing_like_it'"):
        load_app("needy:app")


async def test_a_bot_that_starts_itself_is_told_where_to_do_that(tmp_path: Path) -> None:
    bot(
        tmp_path,
        "import asyncio\nstart = asyncio.sleep(0)\ntry:\n    asyncio.run(start)\nfinally:\n    start.close()",
    )
    with pytest.raises(BotError, match=r"start the bot only under if __name__ == '__main__':"):
        load_app(tmp_path)
