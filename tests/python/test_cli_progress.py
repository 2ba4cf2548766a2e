"""Progress is drawn on terminals only, by rich where it is installed."""

from __future__ import annotations

import io
import sys

import pytest

from pinwire._cli.progress import progress


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.fixture
def without_rich(monkeypatch):
    monkeypatch.setitem(sys.modules, "rich", None)
    monkeypatch.setitem(sys.modules, "rich.progress", None)


def move(name, size, offset=0, *, finish=True):
    with progress() as shown, shown.file(name, size, offset) as meter:
        meter.reach(size)
        if finish:
            meter.finish()


@pytest.fixture
def drawn(monkeypatch):
    """What is drawn of a file that is moved before a terminal."""

    def draw(*args, **kwargs):
        monkeypatch.setattr(sys, "stderr", Terminal())
        monkeypatch.setenv("TERM", "xterm")
        monkeypatch.setenv("COLUMNS", "120")
        move(*args, **kwargs)
        return sys.stderr.getvalue()

    return draw


def test_progress_when_stderr_is_no_terminal_then_nothing_is_drawn(capsys):
    move("a", 10)
    assert capsys.readouterr() == ("", "")


def test_progress_when_rich_is_there_then_it_draws_bars(drawn):
    bars = drawn("a\x1b", 10**9)
    assert r"a\x1b" in bars
    assert "1.0/1.0 GB" in bars
    assert "━" in bars


@pytest.mark.parametrize("size", [0, 5])
def test_bar_when_the_file_breaks_off_then_it_goes(drawn, size):
    assert "━" not in drawn("a", size, finish=False).splitlines()[-1]


def test_name_when_it_looks_like_markup_then_it_is_only_text(drawn):
    assert "[bold]a[/nothing]" in drawn("[bold]a[/nothing]", 10)


@pytest.mark.usefixtures("without_rich")
def test_progress_when_rich_is_missing_then_a_line_a_file_is_written(drawn):
    (line,) = drawn("a\n", 3 * 10**9).splitlines()
    assert line.startswith(r"a\n: 3000000000 bytes, ")
    assert line.endswith(" GB/s")


@pytest.mark.usefixtures("without_rich")
@pytest.mark.parametrize(("size", "line"), [(0, "a: 0 bytes\n"), (5, "a: 5 bytes, all there\n")])
def test_line_when_nothing_had_to_come_then_it_has_no_speed(drawn, size, line):
    assert drawn("a", size, offset=size) == line


@pytest.mark.usefixtures("without_rich")
def test_line_when_the_file_breaks_off_then_there_is_none(drawn):
    assert drawn("a", 5, finish=False) == ""
