#!/usr/bin/env python3
"""The console page over WebTransport, in a real browser that does as it is told on standard input.

    transport.py http://127.0.0.1:3000/[.sockeye/#token=TOKEN] [DIR]

`say TEXT` sends it and prints what came back, `url` prints what is shown as such, `wait TEXT` waits until the log has it,
`back` until it is connected again, `shot NAME` saves a screenshot in DIR, at the size of a desk and of a phone. Each order
is answered by a line.
"""

import pathlib
import sys
import tempfile

from page import Page


def obey(page, order, what):
    match order:
        case "say":
            return page.echo(what)[1]
        case "wait":
            page.wait(lambda: what in page["log"].text, f"{what!r} in the log, which has {page['log'].text!r}")
        case "url":
            return page.js("return document.querySelector('#session [data-key=url]').textContent")
        case "back":
            page.over("wt")
        case "shot":
            page.shot(what)
            page.size(360, 740)
            page.shot(f"{what}-phone")
            page["details"].click()
            page.shot(f"{what}-phone-details")
            page["details"].click()
            page.size(1280, 800)
    return "done"


def main():
    (base, mark, fragment), *shots = sys.argv[1].partition("#"), *sys.argv[2:]
    shots = [pathlib.Path(folder) for folder in shots]
    with tempfile.TemporaryDirectory() as downloads:
        page = Page(base.rstrip("/") + "/", next(iter(shots), None), pathlib.Path(downloads))
        try:
            page.open(mark + fragment)
            page.over("wt")
            print("over WebTransport", flush=True)
            for line in sys.stdin:
                order, _, what = line.strip().partition(" ")
                print(obey(page, order, what), flush=True)
        finally:
            page.driver.quit()


main()
