#!/usr/bin/env python3
"""The view of the wire in a real browser: Chromium, driven by chromedriver, without a window.

    wire.py [--shots DIR] http://HOST:PORT/ [own]

The address is that of a running `sockeye serve echo --trace`. With `own` the browser is a stranger's: the port has a
token that it does not know. Every check is a sentence; the first that does not hold is named on standard error and
ends the run with 1.
"""

import argparse
import json
import pathlib
import sys

from selenium.webdriver.common.keys import Keys

from page import expect, visit

CHECKS = []
STRANGERS = []
MARKUP = "<img src=x onerror=alert(1)>"


def check(function):
    """A check: its name is its sentence."""
    CHECKS.append(function)
    return function


def strangers(function):
    """A check of what a stranger sees."""
    STRANGERS.append(function)
    return function


def labels(page):
    """What stands on the arrows."""
    return page.js("return [...document.querySelectorAll('#wire .label')].map((text) => text.textContent)")


def texts(page):
    """All that is written in the picture."""
    return page.js("return [...document.querySelectorAll('#wire svg text')].map((text) => text.textContent)")


def open_view(page):
    page.wait(lambda: page["wire-open"].is_displayed(), "the button that offers the view")
    page["wire-open"].click()
    page.wait(lambda: page.js("return document.getElementById('wire-view') !== null"), "the view")


def own_connection(page):
    page.wait(lambda: "yours" in page.js("return document.getElementById('wire-flow').selectedOptions[0]?.text ?? ''"),
              "the page's own connection")


def seen(page, *all_of):
    page.wait(lambda: all(any(part in text for text in texts(page)) for part in all_of), f"{all_of} in the picture")


def frames(page):
    return page.js("return [...document.querySelectorAll('#wire .row')].map((row) => Number(row.dataset.frame))")


@check
def it_is_offered_and_loaded_only_when_it_is_opened(page):
    page.open()
    loaded = lambda: page.js("return performance.getEntriesByType('resource').map((entry) => entry.name)")
    expect(not [name for name in loaded() if name.endswith("/wire/view.js")], "the view was loaded with the page")
    open_view(page)
    page.wait(lambda: [name for name in loaded() if name.endswith("/wire/picture.js")], "its parts")


@check
def the_handshake_and_the_upgrade_are_there_though_they_were_before(page):
    own_connection(page)
    seen(page, "HTTP/1.1 GET /", "101 Switching Protocols")
    first = labels(page)[:3]
    expect([text.split("  ")[0] for text in first] == ["SYN", "SYN ACK", "ACK"], f"it begins with {first}")
    expect({"CLOSED", "SYN-SENT", "LISTEN", "SYN-RECEIVED", "ESTABLISHED"} <= set(texts(page)), "the states of both ends")


@check
def each_message_appears_as_it_is_typed_and_is_never_markup(page):
    for text in ["hello", MARKUP, "你好"]:
        before = len(frames(page))
        page["input"].send_keys(text, Keys.ENTER)
        page.wait(lambda: len(frames(page)) >= before + 2, "rows for a message and its answer")
        seen(page, f'WebSocket text "{text}"')
    expect(not page.js("return document.querySelectorAll('#wire img').length"), "an element was made of a message")


@check
def its_own_traffic_is_left_out_and_it_says_so(page):
    note = page["wire-note"].text
    expect("which carries this view" in note, f"it says {note!r}")
    address = note.split()[2].rstrip(",")
    flows = page.js("return [...document.querySelectorAll('#wire-flow option')].map((option) => option.text)")
    expect(flows and not any(address in flow for flow in flows), f"{address} is among {flows}")
    before = frames(page)
    # What it would show of itself would come at once, and after that again and again.
    page.driver.execute_async_script("setTimeout(arguments[0], 700)")
    expect(frames(page) == before, "rows came though nothing was said")


@check
def all_of_a_row_is_read_with_the_keyboard_and_by_pointing(page):
    page["wire-view"].click()
    page.js("document.getElementById('wire-view').focus()")
    page.keys(Keys.HOME)
    told = lambda: page["wire-told"].text
    page.wait(lambda: "SYN  seq 0" in told() and "on the wire: seq" in told(), f"all of the first row, there is {told()!r}")
    page.keys(Keys.ARROW_DOWN)
    page.wait(lambda: "SYN ACK" in told(), "the second row")
    page.keys(Keys.END)
    page.wait(lambda: "SYN" not in told(), "the last row")
    named = page.js("return document.activeElement.ariaLabel")
    expect(named and named.startswith("#"), f"the row's name for screen readers is {named!r}")
    wide = lambda: page.js("return document.querySelector('#wire svg').getBoundingClientRect().width")
    before = wide()
    page.keys("+")
    page.wait(lambda: wide() > before * 1.2, "a larger picture")
    page.keys("0")
    page.wait(lambda: wide() == before, "the picture as it was")


@check
def it_looks_as_it_should(page):
    page.shot("wire-light")
    page["wire-whole"].click()
    page.look(dark=True)
    page.js("document.getElementById('wire-view').scrollTop = 0")
    page.shot("wire-dark")
    page.size(390, 800)
    page.wait(lambda: page.js("return document.querySelector('#wire svg').viewBox.baseVal.width") < 400, "a narrow picture")
    expect(page.js("return document.documentElement.scrollWidth <= innerWidth"), "the page scrolls sideways")
    expect(page.js("const view = document.getElementById('wire-view'); return view.scrollWidth <= view.clientWidth"), "the view scrolls sideways")
    seen(page, "client SYN-SENT")
    page.shot("wire-phone-whole")
    page["wire-whole"].click()
    page.shot("wire-phone")
    page.size(1280, 800)
    page.look(dark=False)


@check
def it_speaks_chinese(page):
    if not page["facts"].is_displayed():
        page["details"].click()
    page.choose("lang", "zh")
    seen(page, "客户端", "服务器")
    expect("它承载着本视图" in page["wire-note"].text, page["wire-note"].text)
    page.shot("wire-chinese")
    page.choose("lang", "en")
    seen(page, "client", "server")


@check
def the_close_is_drawn_and_what_was_seen_can_be_saved(page):
    page["connect"].click()
    seen(page, "WebSocket close")
    page.wait(lambda: any("FIN" in label for label in labels(page)), "the end of the connection")
    page.wait(lambda: "closed" in page.js("return document.getElementById('wire-flow').selectedOptions[0].text"), "that it is closed")
    page["wire-newest"].click()
    expect(page.js("const view = document.getElementById('wire-view'); return view.scrollTop > 0 && view.scrollTop + view.clientHeight >= view.scrollHeight - 1"),
           "the newest is not in sight")
    page.shot("wire-closed")
    page["wire-save"].click()
    saved = lambda: list(page.downloads.glob("*.jsonl"))
    page.wait(saved, "the file")
    lines = [json.loads(line) for line in saved()[0].read_text().splitlines()]
    expect(lines[0]["event"] == "view" and lines[0]["sees"] == "all", f"the first line is {lines[0]}")
    expect({line["event"] for line in lines} >= {"flow", "packet", "yours"}, "the schema of --json")


@check
def closed_it_asks_for_nothing(page):
    page.keys("w")
    page.wait(lambda: not page.js("return document.getElementById('wire').checkVisibility()"), "that it is closed")
    expect(not page.js("return document.body.classList.contains('wired')"), "room is still kept for it")


@check
def nothing_was_refused(page):
    expect(page.js("return refused") == [], f"the policy refused {page.js('return refused')}")
    complaints = [entry["message"] for entry in page.driver.get_log("browser")]
    expect(not complaints, f"the browser's console says {complaints}")


@strangers
def a_stranger_sees_the_connection_that_the_page_has_claimed_and_no_other(page):
    page.driver.get(page.base + ".sockeye/")
    open_view(page)
    page.wait(lambda: "Your own connections" in page["wire-sight"].text, "whose connections are shown")
    flows = lambda: page.js("return [...document.querySelectorAll('#wire-flow option')].map((option) => option.text)")
    # Refused, and tried again and again: each try is a connection of its own.
    page.wait(lambda: flows(), "a connection of the page")
    expect(all("yours" in flow for flow in flows()), f"others are shown: {flows()}")
    seen(page, "401 Unauthorized")


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("base")
    parser.add_argument("who", nargs="?", default="all")
    parser.add_argument("--shots", type=pathlib.Path, metavar="DIR", help="save screenshots here")
    given = parser.parse_args()
    return visit(given.base, given.shots, STRANGERS if given.who == "own" else CHECKS)


if __name__ == "__main__":
    sys.exit(main())
