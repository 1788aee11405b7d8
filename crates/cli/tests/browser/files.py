#!/usr/bin/env python3
"""The page of a folder in a real browser: Chromium, driven by chromedriver, without a window.

    files.py HOST:PORT FOLDER SOCKEYE [--shots DIR] [--size MIB]

HOST:PORT is that of a running `SOCKEYE serve files FOLDER --write`. Between the two stands a relay of ours, which
can cut. Every check is a sentence; the first that does not hold is named on standard error and ends the run with 1.
"""

import argparse
import concurrent.futures
import hashlib
import os
import pathlib
import re
import socket
import struct
import subprocess
import sys
import tempfile
import threading
import time

from selenium import webdriver
from selenium.common.exceptions import TimeoutException
from selenium.webdriver.common.action_chains import ActionChains
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys
from selenium.webdriver.support.ui import WebDriverWait

from page import Failed, expect, options, program, run

PATIENCE = 45  # seconds, for anything that is waited for
LONG = 150  # the same for a large file
MIB = 1024 * 1024
# Runs before the page does: what the policy refused, and what went wrong in it.
SPY = """
window.refused = [];
document.addEventListener('securitypolicyviolation', (e) => refused.push(`${e.violatedDirective} ${e.blockedURI}`));
addEventListener('error', (e) => refused.push(e.message));
addEventListener('unhandledrejection', (e) => refused.push(String(e.reason)));
"""
# Drops files as a person does who drags them from a folder.
DROP = """
const transfer = new DataTransfer();
for (const [name, text] of arguments[0]) transfer.items.add(new File([text], name));
for (const type of ['dragenter', 'dragover', 'drop']) {
  document.body.dispatchEvent(new DragEvent(type, { dataTransfer: transfer, bubbles: true, cancelable: true }));
}
"""
CHECKS = []


def check(function):
    """A check: its name is its sentence."""
    CHECKS.append(function)
    return function


class Relay:
    """Passes on what it gets, so many bytes a second, until it is told to cut."""

    def __init__(self, target, rate=None):
        self.target, self.rate, self.open, self.lock, self.passed = target, rate, [], threading.Lock(), 0
        self.cut_at = None
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port = self.listener.getsockname()[1]
        threading.Thread(target=self.accept, daemon=True).start()

    def accept(self):
        while True:
            near, _ = self.listener.accept()
            try:
                far = socket.create_connection(self.target)
            except OSError:
                near.close()
                continue
            with self.lock:
                self.open += [near, far]
            for one, other, counts in ((near, far, True), (far, near, False)):
                threading.Thread(target=self.move, args=(one, other, counts), daemon=True).start()

    def move(self, one, other, counts):
        try:
            while part := one.recv(256 * 1024):
                other.sendall(part)
                if counts:
                    self.passed += len(part)
                    # So the socket behind us is never full, and what has passed has come.
                    if self.rate:
                        time.sleep(len(part) / self.rate)
                    if self.cut_at is not None and self.passed >= self.cut_at:
                        self.cut_at = None
                        self.cut()
            other.shutdown(socket.SHUT_WR)
        except OSError:
            # It was cut, or an end has left: the other one shall know.
            self.reset(one, other)

    def cut(self):
        """All connections at once, with RST at both ends."""
        with self.lock:
            self.reset(*self.open)
            self.open = []

    @staticmethod
    def reset(*ends):
        for end in ends:
            try:
                end.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                end.shutdown(socket.SHUT_RDWR)
                end.close()
            except OSError:
                pass  # it had ended by itself


class Page:
    """The page as a person has it: what can be typed, clicked and read."""

    def __init__(self, relay, sockeye, folder, scratch, shots, size):
        self.relay, self.sockeye, self.folder, self.scratch, self.shots = relay, sockeye, folder, scratch, shots
        self.large = size
        self.base = f"http://127.0.0.1:{relay.port}"
        self.driver = webdriver.Chrome(options=options(), service=webdriver.ChromeService(program("chromedriver")))
        self.driver.set_script_timeout(PATIENCE)
        self.cdp("Page.addScriptToEvaluateOnNewDocument", source=SPY)
        self.look(dark=False)
        self.size(1280, 800)

    def cdp(self, command, **fields):
        return self.driver.execute_cdp_cmd(command, fields)

    def js(self, script, *values):
        return self.driver.execute_script(script, *values)

    def wait(self, until, what, patience=PATIENCE):
        """Waits for the thing itself; `what` says what did not come."""
        try:
            return WebDriverWait(self.driver, patience, poll_frequency=0.05).until(lambda _: until())
        except TimeoutException:
            raise Failed(f"not within {patience} s: {what}; uploads: {self.uploads()}") from None

    def __getitem__(self, name):
        return self.driver.find_element(By.ID, name)

    def size(self, width, height):
        self.cdp("Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=width < 500)

    def look(self, dark):
        scheme = [{"name": "prefers-color-scheme", "value": "dark" if dark else "light"}]
        self.cdp("Emulation.setEmulatedMedia", features=scheme)

    def shot(self, name):
        if self.shots:
            self.driver.execute_async_script("const done = arguments[0]; requestAnimationFrame(() => setTimeout(done))")
            self.driver.save_screenshot(str(self.shots / f"{name}.png"))

    def keys(self, *keys):
        ActionChains(self.driver).send_keys(*keys).perform()

    def open(self, path="/"):
        self.driver.get(self.base + path)
        self.wait(lambda: self["count"].text, "a listing")

    def names(self):
        return self.js("return [...document.querySelectorAll('#rows tr td:first-child')].map((cell) => cell.textContent)")

    def uploads(self):
        """`[name, state, words]` of each."""
        return self.js(
            "return [...document.querySelectorAll('#uploads li')]"
            ".map((line) => [line.querySelector('bdi').textContent, line.dataset.state, line.querySelector('small').textContent])"
        )

    def upload(self, *paths):
        self["files"].send_keys("\n".join(str(path) for path in paths))

    def state(self, name):
        return next((state for path, state, _ in self.uploads() if path == name), None)

    def becomes(self, name, state, patience=PATIENCE):
        self.wait(lambda: self.state(name) == state, f"{name} is {state}", patience)

    def click(self, name, button):
        self.js(
            "[...document.querySelectorAll('#uploads li')]"
            ".find((line) => line.querySelector('bdi').textContent === arguments[0])"
            ".querySelectorAll('button')[arguments[1]].click()",
            name,
            button,
        )


def digest(path):
    hasher = hashlib.sha256()
    with open(path, "rb") as file:
        while part := file.read(MIB):
            hasher.update(part)
    return hasher.digest()


def holes(path, size):
    """A file that is mostly holes, with bytes of its own here and there."""
    with open(path, "wb") as file:
        file.truncate(size)
        for at in range(0, size, 64 * MIB):
            file.seek(at)
            file.write(os.urandom(MIB))
    return path


# --- The checks, in the order in which they run -----------------------------------------------------------


@check
def a_folder_is_listed_with_folders_first(page):
    (page.folder / "docs").mkdir()
    (page.folder / "docs/inside.txt").write_text("inside")
    (page.folder / "note 2.txt").write_text("two" * 100)
    (page.folder / "note 10.txt").write_text("ten")
    (page.folder / "中文.txt").write_text("你好")
    (page.folder / "<b>&.txt").write_text("no markup")
    page.open()
    names = page.names()
    expect(names == ["docs/", "<b>&.txt", "note 2.txt", "note 10.txt", "中文.txt"], f"it lists {names}")
    expect(page["count"].text == "5 entries", page["count"].text)
    page.shot("list")


@check
def it_is_sorted_and_searched(page):
    page.driver.find_element(By.CSS_SELECTOR, "th[data-key=size] button").click()
    expect(page.names()[:2] == ["docs/", "note 2.txt"], f"the largest first: {page.names()}")
    page.driver.find_element(By.CSS_SELECTOR, "th[data-key=size] button").click()
    expect(page.names()[-1] == "note 2.txt", f"the largest last: {page.names()}")
    page.driver.find_element(By.CSS_SELECTOR, "th[data-key=name] button").click()
    page.keys("/", "NOTE")
    expect(page.names() == ["note 2.txt", "note 10.txt"], f"found {page.names()}")
    page["search"].clear()
    page.js("document.getElementById('search').dispatchEvent(new Event('input'))")


@check
def keys_go_through_folders_and_show_files(page):
    page.js("document.activeElement.blur()")
    page.keys(Keys.ARROW_DOWN, Keys.ENTER)
    page.wait(lambda: page.names() == ["inside.txt"], "what is in the folder")
    expect(page.driver.current_url.endswith("/docs/"), page.driver.current_url)
    page.keys(Keys.ARROW_DOWN, " ")
    page.wait(lambda: "inside" in page["content"].text, "a look at the text")
    page["look-hash"].click()
    sha = hashlib.sha256(b"inside").hexdigest()
    page.wait(lambda: sha in page["hashes"].text, "the hash of the file")
    page.shot("preview")
    page.keys(Keys.ESCAPE)
    page.keys(Keys.BACKSPACE)
    page.wait(lambda: "docs/" in page.names(), "the folder above")
    page.driver.back()
    page.wait(lambda: page.names() == ["inside.txt"], "the way back")
    page.open()


@check
def small_files_are_taken_and_renamed_where_the_name_is_taken(page):
    source = page.scratch / "note 10.txt"
    source.write_text("another ten")
    page.upload(source)
    page.becomes("note 10.txt", "done")
    words = page.uploads()[0][2]
    expect("note 10 (1).txt" in words, f"its line says {words!r}")
    expect((page.folder / "note 10.txt").read_text() == "ten", "what was there has been overwritten")
    expect((page.folder / "note 10 (1).txt").read_text() == "another ten", "it is not what was sent")
    page.wait(lambda: "note 10 (1).txt" in page.names(), "the new file in the list")


@check
def files_are_dropped_on_it_even_empty_ones(page):
    page.js(DROP, [["dropped.txt", "by mouse"], ["empty", ""]])
    page.becomes("dropped.txt", "done")
    page.becomes("empty", "done")
    expect((page.folder / "dropped.txt").read_text() == "by mouse", "it is not what was dropped")
    expect((page.folder / "empty").stat().st_size == 0, "it is not empty")


@check
def a_large_file_survives_a_cut_a_pause_and_another_visit(page):
    source = holes(page.scratch / "large.img", page.large)
    page.relay.cut_at = page.relay.passed + page.large // 3
    page.upload(source)
    page.wait(lambda: page.state("large.img") == "cut", "the cut is told", LONG)
    page.shot("cut")
    before = page.relay.passed
    page.wait(lambda: page.state("large.img") == "running", "it goes on by itself", LONG)
    page.wait(lambda: page.relay.passed > before + page.large // 10, "more of it", LONG)
    page.click("large.img", 0)
    page.becomes("large.img", "paused")
    page.shot("paused")
    page.open("/")  # another visit: the browser remembers where it was
    page.upload(source)
    page.wait(lambda: page.state("large.img") == "running", "it goes on", LONG)
    page.shot("running")
    page.becomes("large.img", "done", LONG)
    expect(digest(page.folder / "large.img") == digest(source), "it is not what was sent")
    sent = page.relay.passed
    expect(sent < page.large * 1.25, f"{sent} bytes were sent for {page.large}: it did not go on where it was")
    expect(not list(page.folder.glob("*.part*")), f"left: {list(page.folder.glob('*.part*'))}")
    page.shot("done")


@check
def an_upload_that_is_cancelled_leaves_nothing(page):
    source = holes(page.scratch / "unwanted.img", 256 * MIB)
    page.upload(source)
    page.wait(lambda: list(page.folder.glob("unwanted.img.part")), "the part")
    page.click("unwanted.img", 1)
    page.wait(lambda: not list(page.folder.glob("unwanted*")), "nothing is left")


@check
def it_speaks_chinese_and_is_dark_on_a_phone(page):
    page.size(390, 844)
    page.look(dark=True)
    page.js("const lang = document.getElementById('lang'); lang.value = 'zh'; lang.dispatchEvent(new Event('change'))")
    expect(page["pick"].text == "上传…", page["pick"].text)
    wide = page.js("return document.documentElement.scrollWidth")
    expect(wide <= 390, f"it is {wide} pixels wide on a phone")
    page.shot("phone")
    unnamed = page.js(
        "return [...document.querySelectorAll('button, a, input, select')].filter((it) => it.offsetParent"
        " && !it.textContent.trim() && !it.ariaLabel && !it.labels?.length).map((it) => it.outerHTML)"
    )
    expect(not unnamed, f"without a name for who cannot see: {unnamed}")


def put_by_curl(relay, source):
    """As a person would: it breaks off, and the answer to a guess says where to go on."""

    def curl(*words):
        url = f"https://127.0.0.1:{relay.port}/by-curl.bin"
        command = [program("curl"), "-sS", "-k", "-T", source, *words, url]
        return subprocess.run(command, capture_output=True, text=True, timeout=LONG)

    ended = curl("-f")
    expect(ended.returncode != 0, "curl has not seen the cut")
    # Over HTTP/1.1 curl asks before it sends (Expect: 100-continue).
    said = curl("--http1.1", "-C", "1").stdout
    there = re.search(r"stands at byte (\d+)", said)
    expect(there, f"a guess is answered with {said!r}")
    ended = curl("-f", "-C", there[1])
    expect(ended.returncode == 0, f"curl: {ended}")


def put_by_send(relay, source, sockeye):
    command = [sockeye, "send", source, f"tcp://127.0.0.1:{relay.port}"]
    ended = subprocess.run(command, capture_output=True, text=True, timeout=LONG)
    expect(ended.returncode == 0, f"send: {ended}")


@check
def a_phone_curl_and_send_at_once_lose_a_chunk_each_when_the_plug_is_pulled(page):
    size, whole = 48 * MIB, page.relay
    relays = {name: Relay(whole.target, 24 * MIB) for name in ("phone", "curl", "send")}
    sources = {name: page.scratch / f"by-{name}.bin" for name in relays}
    for source in sources.values():
        source.write_bytes(os.urandom(size))
    page.base = f"http://127.0.0.1:{relays['phone'].port}"
    page.size(390, 844)
    page.open()
    for name, relay in relays.items():
        relay.passed = 0
        # In the middle of a chunk.
        relay.cut_at = size // 3 + 700_000
    with concurrent.futures.ThreadPoolExecutor() as others:
        page.upload(sources["phone"])
        waiting = [
            others.submit(put_by_curl, relays["curl"], sources["curl"]),
            others.submit(put_by_send, relays["send"], sources["send"], page.sockeye),
        ]
        page.wait(lambda: page.state("by-phone.bin") == "cut", "the cut is told", LONG)
        page.becomes("by-phone.bin", "done", LONG)
        for one in waiting:
            one.result(LONG)
    page.shot("three")
    for name, relay in relays.items():
        source = sources[name]
        expect(digest(page.folder / source.name) == digest(source), f"{name}: it is not what was sent")
        expect(relay.cut_at is None, f"{name} has not been cut")
        most = size + MIB + size // 100  # what frames the content, and the page's questions
        expect(relay.passed <= most, f"{name} has sent {relay.passed} bytes for {size}")
    expect(not list(page.folder.glob("*.part*")), f"left: {list(page.folder.glob('*.part*'))}")
    page.base = f"http://127.0.0.1:{whole.port}"
    page.open()
    page.size(1280, 800)


@check
def nothing_was_refused_by_the_policy_of_the_page(page):
    refused = page.js("return window.refused")
    expect(not refused, f"{refused}")


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("at", help="where `sockeye serve files` answers, such as 127.0.0.1:3000")
    parser.add_argument("folder", type=pathlib.Path, help="the folder that it serves")
    parser.add_argument("sockeye", help="the program")
    parser.add_argument("--shots", type=pathlib.Path, metavar="DIR", help="save screenshots here")
    parser.add_argument("--size", type=int, default=1024, metavar="MIB", help="of the large file")
    given = parser.parse_args()
    if given.shots:
        given.shots.mkdir(parents=True, exist_ok=True)
    host, port = given.at.rsplit(":", 1)
    relay = Relay((host, int(port)))
    with tempfile.TemporaryDirectory() as scratch:
        page = Page(relay, given.sockeye, given.folder, pathlib.Path(scratch), given.shots, given.size * MIB)
        try:
            return run(CHECKS, page)
        finally:
            page.driver.quit()


if __name__ == "__main__":
    sys.exit(main())
