#!/usr/bin/env python3
"""One person with the chat's page in a real browser, as a member that a script can lead.

    member.py HOST:PORT NAME [WIDTH HEIGHT]

Each line of standard input is said. Each line that the page shows goes to standard output as `NAME: TEXT`, once and in
the page's order; a page that takes something back or moves it is a failure. `ready` says that the browser is there,
`in` that the room is. The end of input ends it.
"""

import pathlib
import queue
import sys
import tempfile
import threading

from chat import Person
from page import Failed


def read(lines):
    for line in sys.stdin:
        lines.put(line.rstrip("\n"))
    lines.put(None)


def show(text):
    print(text, flush=True)


def lead(person, lines):
    shown = []
    while True:
        try:
            line = lines.get(timeout=0.05)
            if line is None:
                return
            person.say(line)
        except queue.Empty:
            pass
        # Lines that the server has not kept yet stand behind all others, and may still move.
        said = person.js(
            "const rows = [...document.querySelectorAll('#log .line')];"
            "while (rows.length && rows.at(-1).querySelector('.pending')) rows.pop();"
            "return rows.map((row) => {"
            " const text = row.querySelector('.text').cloneNode(true);"
            " text.querySelector('.state')?.remove();"
            " return row.querySelector('.who .name').textContent + ': ' + text.textContent.trim(); })")
        if said[: len(shown)] != shown:
            raise Failed(f"{shown} became {said}")
        for text in said[len(shown):]:
            show(text)
        shown = said


def main(at, name, width=1280, height=800):
    lines = queue.Queue()
    threading.Thread(target=read, args=(lines,), daemon=True).start()
    with tempfile.TemporaryDirectory() as downloads:
        person = Person(at, None, pathlib.Path(downloads))
        try:
            show("ready")
            person.size(int(width), int(height))
            person.come(name)
            show("in")
            lead(person, lines)
        finally:
            person.driver.quit()


if __name__ == "__main__":
    try:
        main(*sys.argv[1:])
    except Failed as failed:
        sys.exit(str(failed))
