#!/usr/bin/env python3
"""A page in Chromium that asks servers of other origins.

    foreign.py PAGE FRIEND STRANGER

PAGE is the address of any page, FRIEND of a `sockeye serve upper` that was told its origin, STRANGER of one that was
not. Prints `all is well`, or what is not.
"""

import sys

from selenium import webdriver

from page import options, program

# A method and a field that the browser asks leave for first, and the messages of a WebSocket.
ASK = """
const [at, done] = arguments;
fetch(at, {method: 'PUT', headers: {'X-Field': '1'}, body: 'hello'})
    .then((answer) => answer.text()).then(done, () => done('refused'));
"""
TALK = """
const [at, done] = arguments;
const socket = new WebSocket(at.replace('http', 'ws'));
socket.onopen = () => socket.send('hello');
socket.onmessage = (event) => done(event.data);
socket.onerror = () => done('refused');
"""


def main(page, friend, stranger):
    driver = webdriver.Chrome(options=options(), service=webdriver.ChromeService(program("chromedriver")))
    try:
        driver.set_script_timeout(45)
        driver.get(page)
        for name, script in (("fetch", ASK), ("WebSocket", TALK)):
            for at, expected in ((friend, "HELLO"), (stranger, "refused")):
                got = driver.execute_async_script(script, at)
                if got != expected:
                    sys.exit(f"{name} of {at}: {got!r}, expected {expected!r}")
    finally:
        driver.quit()
    print("all is well")


if __name__ == "__main__":
    main(*sys.argv[1:])
