"""What part of a long text is seen: the end is followed until somebody scrolls."""

from __future__ import annotations

from tui_app.scrolling import Scroll


def test_the_end_is_followed_while_nobody_scrolls() -> None:
    scroll = Scroll(follows_end=True)
    assert scroll.window(100, 10) == slice(90, 100)
    assert scroll.window(103, 10) == slice(93, 103)
    assert scroll.num_new == 0


def test_scrolling_up_stands_still_and_counts_what_is_new() -> None:
    scroll = Scroll(follows_end=True)
    scroll.window(100, 10)
    scroll.by(-5)
    assert scroll.window(107, 10) == slice(85, 95)
    assert scroll.num_new == 7
    scroll.to_end()
    assert scroll.window(107, 10) == slice(97, 107)
    assert scroll.num_new == 0


def test_reaching_the_last_row_follows_again() -> None:
    scroll = Scroll(follows_end=True)
    scroll.window(100, 10)
    scroll.page(-1)
    scroll.page(1)
    assert scroll.window(101, 10) == slice(91, 101)


def test_a_text_that_does_not_follow_begins_at_its_beginning_and_ends_at_its_end() -> None:
    scroll = Scroll()
    assert scroll.window(30, 10) == slice(0, 10)
    assert scroll.num_below == 20
    scroll.by(-3)
    scroll.page(9)
    assert scroll.window(30, 10) == slice(20, 30)
    assert scroll.num_below == 0
    scroll.to_start()
    assert scroll.window(30, 10) == slice(0, 10)


def test_a_text_that_got_shorter_is_still_seen() -> None:
    scroll = Scroll()
    scroll.window(30, 10)
    scroll.to_end()
    assert scroll.window(5, 10) == slice(0, 10)
