#!/usr/bin/env python3
"""The console page in a real browser: Chromium, driven by chromedriver, without a window.

    page.py http://127.0.0.1:3000/ [--shots DIR]

The address is that of a running `sockeye serve echo`, over http or https. Every check is a sentence; the
first that does not hold is named on standard error and ends the run with 1. Needs selenium, Debian's
chromium and chromium-driver, and for legible screenshots fonts-dejavu-core and fonts-noto-cjk.
"""

import argparse
import base64
import json
import os
import pathlib
import shutil
import sys
import tempfile
import urllib.parse

from selenium import webdriver
from selenium.common.exceptions import TimeoutException, WebDriverException
from selenium.webdriver.common.action_chains import ActionChains
from selenium.webdriver.common.actions.wheel_input import ScrollOrigin
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys
from selenium.webdriver.support.ui import WebDriverWait

PATIENCE = 45  # seconds, for anything that is waited for
LARGEST = 16 * 1024 * 1024  # the largest message that the server takes, in bytes
# Runs before the page does: what the policy refused, and the page's sockets.
SPY = """
window.refused = [];
document.addEventListener('securitypolicyviolation', (e) => refused.push(`${e.violatedDirective} ${e.blockedURI}`));
window.sockets = [];
window.WebSocket = class extends WebSocket { constructor(...all) { super(...all); sockets.push(this); } };
"""
CHECKS = []


def check(function):
    """A check: its name is its sentence."""
    CHECKS.append(function)
    return function


class Failed(Exception):
    """What did not hold."""


def expect(holds, what):
    if not holds:
        raise Failed(what)


class Page:
    """The page as a person has it: what can be typed, clicked and read."""

    def __init__(self, base, shots, downloads):
        self.base, self.shots, self.downloads = base, shots, downloads
        self.driver = webdriver.Chrome(options=options(), service=webdriver.ChromeService(program("chromedriver")))
        self.driver.set_script_timeout(PATIENCE)
        self.cdp("Page.addScriptToEvaluateOnNewDocument", source=SPY)
        self.cdp("Browser.setDownloadBehavior", behavior="allow", downloadPath=str(downloads))
        self.cdp("Browser.grantPermissions", origin=base.rstrip("/"), permissions=["clipboardReadWrite"])
        self.look(dark=False)
        self.size(1280, 800)
        self.seen = []

    def cdp(self, command, **fields):
        return self.driver.execute_cdp_cmd(command, fields)

    def js(self, script, *values):
        return self.driver.execute_script(script, *values)

    def wait(self, until, what):
        """Waits for the thing itself; `what` says what did not come."""
        try:
            return WebDriverWait(self.driver, PATIENCE, poll_frequency=0.02).until(lambda _: until())
        except TimeoutException:
            raise Failed(f"not within {PATIENCE} s: {what}") from None

    def __getitem__(self, name):
        return self.driver.find_element(By.ID, name)

    def open(self, fragment=""):
        self.driver.get("about:blank")
        self.driver.get(self.base + fragment)
        self.connected()

    def connected(self):
        self.wait(lambda: self.state() == "open", "the state “open”")

    def state(self):
        return self.js("return document.body.dataset.state")

    def size(self, width, height):
        self.cdp("Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=False)

    def look(self, dark):
        scheme = [{"name": "prefers-color-scheme", "value": "dark" if dark else "light"}]
        self.cdp("Emulation.setEmulatedMedia", features=scheme)

    def shot(self, name):
        if self.shots:
            # What was asked for is on the screen after a frame.
            self.driver.execute_async_script("const done = arguments[0]; requestAnimationFrame(() => setTimeout(done))")
            self.driver.save_screenshot(str(self.shots / f"{name}.png"))

    def keys(self, *keys):
        ActionChains(self.driver).send_keys(*keys).perform()

    def choose(self, name, value):
        """One of the radio buttons or options, by its value."""
        self.js(
            "const [name, value] = arguments;"
            "const radio = [...document.getElementsByName(name)].find((radio) => radio.value === value);"
            "if (radio) return radio.click();"
            "const select = document.getElementById(name); select.focus(); select.value = value;"
            "select.dispatchEvent(new Event('change', { bubbles: true }));",
            name,
            value,
        )

    def over(self, carrier):
        """Chooses what carries the messages, and waits until it does."""
        self.choose("over", carrier)
        name = {"ws": "WebSocket", "wt": "WebTransport"}[carrier]
        self.wait(lambda: name in self["session"].text and self.state() == "open", f"a connection by {name}")

    def write(self, text):
        """Puts text into the field as pasting does, control characters and all."""
        self["input"].clear()
        self.js("document.getElementById('input').focus(); document.execCommand('insertText', false, arguments[0])", text)

    def rows(self, way):
        """What the messages of one direction say: `[size, text]`."""
        return self.js(
            "return [...document.querySelectorAll(`#log li.${arguments[0]}:not([hidden])`)]"
            ".map((row) => [row.querySelector('small').textContent, row.querySelector('p').textContent])",
            way,
        )

    def clear(self):
        self["clear"].click()
        self.wait(lambda: self.js("return !document.querySelector('#log li')"), "an empty log")

    def echo(self, text):
        """Sends what is typed and gives what came back: its size and its text."""
        self.clear()
        self.write(text)
        self["input"].send_keys(Keys.ENTER)
        self.wait(lambda: self.rows("in"), f"an echo of {text!r}; the page says {self.error()!r}")
        expect(len(self.rows("out")) == 1, f"{text!r} is shown {len(self.rows('out'))} times as sent, not once")
        expect(self.rows("out") == self.rows("in"), f"sent {self.rows('out')}, received {self.rows('in')}")
        return self.rows("in")[0]

    def error(self):
        return self["error"].text

    def refuse(self, text):
        """Tries to send what cannot be sent, and gives what the page says to it."""
        self.clear()
        self.write(text)
        self["input"].send_keys(Keys.ENTER)
        self.wait(self.error, f"an error for {text!r}")
        expect(not self.rows("out"), f"{text!r} was sent in spite of: {self.error()}")
        expect(self["input"].get_property("value") == text, "what cannot be sent must stay to be mended")
        return self.error()

    def events(self):
        """What the browser has told of the network so far."""
        self.seen += [json.loads(entry["message"])["message"] for entry in self.driver.get_log("performance")]
        return self.seen


def program(name):
    found = shutil.which(name)
    expect(found, f"{name} is not installed")
    return found


def options():
    chosen = webdriver.ChromeOptions()
    chosen.binary_location = program("chromium")
    chosen.add_argument("--headless=new")
    chosen.add_argument("--disable-dev-shm-usage")
    chosen.add_argument("--lang=en-US")
    if os.geteuid() == 0:
        chosen.add_argument("--no-sandbox")
    # The certificate that the server made for itself.
    chosen.accept_insecure_certs = True
    chosen.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    return chosen


# --- The checks, in the order in which they run -----------------------------------------------------------


@check
def the_page_loads_and_connects(page):
    page.open()
    facts = json.loads(page.js("return fetch('/.sockeye/facts.json').then((answer) => answer.text())"))
    page.wait(lambda: facts["service"] in page.driver.title, "the service in the title")
    expect(page["session"].text.count("sockeye") == 1, f"no subprotocol “sockeye” in the details: {page['session'].text!r}")
    ways = [code.text for code in page["ways"].find_elements(By.TAG_NAME, "code")]
    expect(ways == facts["ways"], f"the ways are {ways}, the server said {facts['ways']}")
    expect(facts["local"] in page["server"].text, "the server's address is missing in the details")


@check
def text_comes_back(page):
    expect(page.echo("hello") == ["5 B", "hello"], f"hello became {page.rows('in')}")
    expect(page.echo("世界 ß 😀") == ["14 B", "世界 ß 😀"], f"it became {page.rows('in')}")
    expect(page["input"].get_property("value") == "", "the field must be empty after sending")


@check
def line_ends_are_what_was_chosen(page):
    page.choose("eol", "\r\n")
    expect(page.echo("ok") == ["4 B", r"ok\r\n"], f"ok and CRLF became {page.rows('in')}")
    expect(page.echo("a\nb") == ["6 B", "a\\r\\n\nb\\r\\n"], f"two lines and CRLF became {page.rows('in')}")
    page.choose("eol", "")
    page.clear()
    page.write("one")
    page["input"].send_keys(Keys.SHIFT + Keys.ENTER)
    page["input"].send_keys("two" + Keys.ENTER)
    page.wait(lambda: page.rows("in") == [["7 B", "one\\n\ntwo"]], "Shift+Enter as a line end in one message")


@check
def hex_is_read_and_dumped(page):
    page.choose("form", "hex")
    spellings = ["fc2a0041", "FC 2A 00 41", "0xfc, 0x2A,0x00 0x41", r"\xfc\x2a\x00\x41", "fc:2a:00:41"]
    for spelling in spellings:
        expect(page.echo(spelling) == ["bin 4 B", r"\xfc*\0A"], f"{spelling} became {page.rows('in')}")
    page.choose("view", "hex")
    dump = "00000000  fc 2a 00 41                                       |.*.A|"
    page.wait(lambda: page.rows("in")[0][1] == dump, f"{dump!r}, there is {page.rows('in')}")
    page.echo("48656c6c6f2c20e4b896e7958c210a" + "00 ff")
    rows = "00000000  48 65 6c 6c 6f 2c 20 e4  b8 96 e7 95 8c 21 0a 00  |Hello, 世.界.!..|\n00000010  ff" + " " * 48 + "|.|"
    expect(page.rows("in")[0][1] == rows, f"the dump is {page.rows('in')[0][1]!r}")
    page.shot("hex")
    expect("column 7" in page.refuse("fc 2a 0"), f"an odd digit: {page.error()!r}")
    page.shot("hex-error")
    expect("column 5" in page.refuse("fc 2g"), f"no hex digit: {page.error()!r}")
    expect("line 2, column 1" in page.refuse("fc\n0x"), f"no digits: {page.error()!r}")
    page.choose("view", "text")
    page.choose("form", "text")


@check
def encodings_go_both_ways(page):
    for encoding, text, spelled in [
        ("GB18030", "中文 é €😀", "d6 d0 ce c4 20 a8 a6 20  a2 e3 94 39 fc 36"),
        ("Big5", "中文", "a4 a4 a4 e5"),
        ("Shift_JIS", "日本ｱ", "93 fa 96 7b b1"),
        ("EUC-KR", "한글", "c7 d1 b1 db"),
        ("ISO-8859-1", "é\x80", "e9 80"),
    ]:
        page.choose("encoding", encoding)
        shown = text.replace("\x80", r"\u{80}")
        size, back = page.echo(text)
        expect(back == shown and size == f"bin {len(text.encode(encoding))} B", f"{text} in {encoding} became {size} {back!r}")
        page.choose("view", "hex")
        page.wait(lambda: f"00000000  {spelled}  " in page.rows("in")[0][1], f"{spelled}, there is {page.rows('in')}")
        page.choose("view", "text")
    page.choose("encoding", "Big5")
    said = page.refuse("ok\n中ß")
    expect("ß" in said and "line 2, column 2" in said and "Big5" in said, f"what does not exist in Big5: {said!r}")
    page.shot("encoding-error")
    page.choose("encoding", "UTF-8")
    page.choose("form", "hex")
    expect(page.echo("41 ff fe e4b8 42")[1] == r"A\xff\xfe\xe4\xb8B", f"broken UTF-8 became {page.rows('in')}")
    page.choose("form", "text")


@check
def markup_stays_text(page):
    title = page.driver.title
    for markup in ["<img src=x onerror=\"document.title='owned'\">", "<script>document.title='owned'</script>", "&lt;b&gt; </p>"]:
        expect(page.echo(markup)[1] == markup, f"{markup} is shown as {page.rows('in')}")
    inside = page.js("return document.querySelectorAll('#log p :not(i, .more, .less)').length")
    expect(inside == 0, f"{inside} elements in the messages that the page did not make")
    expect(page.driver.title == title, f"the title became {page.driver.title}")


@check
def controls_are_seen_and_do_nothing(page):
    shown = page.echo("a\x1b[31m\x07\u202eb\u200bc\u0085d")[1]
    expect(shown == r"a\e[31m\x07\u{202e}b\u{200b}c\u{85}d", f"controls are shown as {shown!r}")
    raw = page.js(r"return /[\u202a-\u202e\u2066-\u2069\x1b\x07\x85]/.test(document.body.textContent)")
    expect(not raw, "a control character got into the page")


@check
def long_messages_are_folded(page):
    text = "x" * 5000
    expect(page.echo(text)[1].startswith("x" * 1000) and len(page.rows("in")[0][1]) < 2000, "5,000 characters are not folded")
    page.driver.find_element(By.CSS_SELECTOR, "#log .in .more").click()
    page.wait(lambda: page.rows("in")[0][1].startswith(text), "the whole message")
    page.driver.find_element(By.CSS_SELECTOR, "#log .in .less").click()
    page.wait(lambda: len(page.rows("in")[0][1]) < 2000, "the folded message")


@check
def messages_are_found(page):
    for word in ["apple", "pear <b>", "Apple pie"]:
        page.write(word)
        page["input"].send_keys(Keys.ENTER)
    page.wait(lambda: ["9 B", "Apple pie"] in page.rows("in"), "the last echo")
    page["search"].send_keys("aPPLE")
    page.wait(lambda: [text for _, text in page.rows("in")] == ["apple", "Apple pie"], f"two apples, found {page.rows('in')}")
    expect(page["count"].text.startswith("4 of "), f"the count says {page['count'].text!r}")
    page.shot("search")
    page["search"].send_keys(Keys.ESCAPE)
    page.wait(lambda: len(page.rows("in")) > 2, "all messages after Escape")


@check
def the_log_is_saved_and_copied(page):
    page.echo("save <me>\x00")
    page["copy"].click()
    clipboard = page.js("return navigator.clipboard.readText()")
    expect(r"← 10 B save <me>\0" in clipboard, f"the clipboard has {clipboard!r}")
    page["save-jsonl"].click()
    page["save-txt"].click()
    for ending in ["jsonl", "txt"]:
        page.wait(lambda: list(page.downloads.glob(f"*.{ending}")), f"the file .{ending}")
    lines = [json.loads(line) for line in next(page.downloads.glob("*.jsonl")).read_text().splitlines()]
    got = [(line["direction"], line["bytes"], line["text"]) for line in lines if line["event"] == "message"]
    expect(got == [("out", 10, "save <me>\x00"), ("in", 10, "save <me>\x00")], f".jsonl has {lines}")
    expect(next(page.downloads.glob("*.txt")).read_text() == clipboard, ".txt is not what was copied")


@check
def a_file_is_one_binary_message(page):
    page.clear()
    file = page.downloads / "bytes.bin"
    file.write_bytes(bytes(range(256)) * 40)
    page["pick"].send_keys(str(file))
    page.wait(lambda: [size for size, _ in page.rows("in")] == ["bin 10.0 KiB"], f"10 KiB back, there is {page.rows('in')}")
    with open(page.downloads / "large.bin", "wb") as large:
        large.truncate(LARGEST + 1)
    page["pick"].send_keys(large.name)
    page.wait(lambda: "large.bin" in page.error() and "16.0 MiB" in page.error(), "an error that names file and limit")


@check
def what_was_sent_comes_back_with_the_arrows(page):
    for text in ["first", "second"]:
        page.echo(text)
    page["input"].send_keys("draft")
    for key, value in [(Keys.UP, "second"), (Keys.UP, "first"), (Keys.DOWN, "second"), (Keys.DOWN, "draft")]:
        page["input"].send_keys(key)
        expect(page["input"].get_property("value") == value, f"not {value!r}: {page['input'].get_property('value')!r}")


@check
def repeating_repeats_until_it_is_stopped(page):
    page.clear()
    page.write("tick")
    page["every"].clear()
    page["every"].send_keys("20")
    page["repeat"].click()
    page.wait(lambda: len(page.rows("in")) >= 5, "five ticks")
    expect(page["repeat"].get_attribute("aria-pressed") == "true", "the button does not say that it repeats")
    page["repeat"].click()
    sent = len(page.rows("out"))
    page.wait(lambda: len(page.rows("in")) == len(page.rows("out")), "the last echo")
    expect(len(page.rows("out")) <= sent + 1, "it goes on after the stop")


@check
def the_keyboard_is_enough(page):
    page.echo("keys")
    page["input"].send_keys(Keys.ESCAPE)
    expect(focus(page) == "view", f"Escape leads from the field to {focus(page)}")
    page.keys("/")
    expect(focus(page) == "search", f"/ leads to {focus(page)}")
    page.keys(Keys.ESCAPE)
    expect(focus(page) == "input", f"Escape leads from the search to {focus(page)}")
    page.keys(Keys.ESCAPE, Keys.ARROW_UP, "h")
    page.wait(lambda: "6b 65 79 73" in page.rows("in")[0][1], "h: this message as hex")
    expect(page.rows("out")[0][1] == "keys", "h must not change the other messages")
    page.keys("c")
    page.wait(lambda: "6b 65 79 73" in page.js("return navigator.clipboard.readText()"), "c: the message in the clipboard")
    page.keys("?")
    expect(page["keys"].is_displayed(), "? does not show the shortcuts")
    page.shot("shortcuts")
    page.keys(Keys.ESCAPE)
    page.wait(lambda: not page["keys"].is_displayed(), "Escape closes the shortcuts")
    page.keys("i")
    expect(focus(page) == "input", f"i leads to {focus(page)}")
    wanted = set(page.js(
        "return [...document.querySelectorAll('button, input, select, textarea, [tabindex=\"0\"]')]"
        ".filter((e) => e.id && e.checkVisibility()).map((e) => e.id)"))
    reached = set()
    for _ in range(80):
        page.keys(Keys.TAB)
        reached.add(focus(page))
    expect(wanted <= reached, f"Tab does not reach {sorted(wanted - reached)}")
    ActionChains(page.driver).key_down(Keys.CONTROL).send_keys("l").key_up(Keys.CONTROL).perform()
    page.wait(lambda: not page.rows("in"), "Ctrl+L clears")


def focus(page):
    return page.js("return document.activeElement.id")


@check
def everything_has_a_name_for_screen_readers(page):
    page.echo("named")
    roles = {"button", "textbox", "searchbox", "combobox", "radio", "checkbox", "spinbutton", "log", "toolbar"}
    nodes = [node for node in page.cdp("Accessibility.getFullAXTree")["nodes"] if not node["ignored"]]
    found = [node for node in nodes if node["role"]["value"] in roles]
    expect(len(found) > 20, f"only {len(found)} controls in the accessibility tree")
    nameless = [node["role"]["value"] for node in found if not node.get("name", {}).get("value")]
    expect(not nameless, f"without a name: {nameless}")


@check
def languages_and_themes_switch(page):
    for text in ["hello", "世界", '{"id":1,"temperature":21.5}', "line one\nline two", "a\x1b[31mred\u202e"]:
        page.write(text)
        page["input"].send_keys(Keys.ENTER)
    page.wait(lambda: len(page.rows("in")) >= 6, "the echoes")
    colours = {}
    for language, tag, word in [("en", "en", "Send"), ("zh", "zh-CN", "发送")]:
        page.choose("lang", language)
        expect(page["send"].text == word, f"in {language} the button says {page['send'].text!r}")
        expect(page.js("return document.documentElement.lang") == tag, f"the page is not marked as {tag}")
        empty = page.js("return [...document.querySelectorAll('[data-t]')].filter((e) => !e.textContent).map((e) => e.dataset.t)")
        expect(not empty, f"no word in {language} for {empty}")
        for theme in ["light", "dark"]:
            page.choose("theme", theme)
            colours[theme] = page.js("return getComputedStyle(document.body).backgroundColor")
            faint = page.js(CONTRAST)
            expect(not faint, f"too little contrast ({theme}): {faint}")
            page.shot(f"{theme}-{language}")
    expect(colours["light"] != colours["dark"], f"light and dark are both {colours['light']}")
    page.open()
    expect(page["send"].text == "发送", "the language is forgotten after a reload")
    page.js("localStorage.clear()")
    agent = page.js("return navigator.userAgent")
    for accept, word in [("zh-TW,en", "发送"), ("fr,zh", "Send")]:
        page.cdp("Network.setUserAgentOverride", userAgent=agent, acceptLanguage=accept)
        page.open()
        expect(page["send"].text == word, f"a browser in {accept} gets {page['send'].text!r}")
    page.look(dark=True)
    expect(page.js("return getComputedStyle(document.body).backgroundColor") == colours["dark"], "“auto” is not dark in a dark system")
    page.look(dark=False)
    expect(page.js("return getComputedStyle(document.body).backgroundColor") == colours["light"], "“auto” is not light in a light one")


# WCAG 2.2, 1.4.3: text and what is behind it differ by 4.5 to 1.
CONTRAST = """
const canvas = Object.assign(document.createElement('canvas'), { width: 1, height: 1 }).getContext('2d', { willReadFrequently: true });
const light = (colours) => {
  for (const colour of colours) { canvas.fillStyle = colour; canvas.fillRect(0, 0, 1, 1); }
  const [r, g, b] = [...canvas.getImageData(0, 0, 1, 1).data].map((c) => c / 255)
    .map((c) => (c <= 0.04045 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4));
  return 0.2126 * r + 0.7152 * g + 0.0722 * b;
};
const behind = (e) => (e ? [...behind(e.parentElement), getComputedStyle(e).backgroundColor] : ['white']);
return [...document.querySelectorAll('body *')]
  .filter((e) => e.checkVisibility() && !e.disabled && [...e.childNodes].some((n) => n.nodeType === 3 && n.data.trim()))
  .map((e) => {
    const back = behind(e);
    const [a, b] = [light(back), light([...back, getComputedStyle(e).color])];
    return [e.id || e.className || e.tagName, (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05)];
  })
  .filter(([, ratio]) => ratio < 4.5).map(([name, ratio]) => `${name} ${ratio.toFixed(1)}`);
"""


@check
def a_closed_connection_comes_back(page):
    page.js("sockets.at(-1).send(new Uint8Array(arguments[0]))", LARGEST + 1)
    page.wait(lambda: "(1009)" in page["log"].text, "the close code 1009 in the log")
    page.connected()
    page.wait(lambda: page.js("return sockets.length") >= 2, "a second socket")
    expect(page.echo("back")[1] == "back", "the new connection does not carry messages")
    page["connect"].click()
    page.wait(lambda: page.state() == "closed", "the end after Disconnect")
    page.write("unsent")
    page["input"].send_keys(Keys.ENTER)
    page.wait(lambda: "Not connected" in page.error(), "an error for sending without a connection")
    page.shot("disconnected")
    page["connect"].click()
    page.connected()


@check
def webtransport_carries_messages_too(page):
    page.over("wt")
    expect("WebTransport · HTTP/3 · QUIC · UDP" in page["session"].text, f"the details say {page['session'].text!r}")
    expect(page.js("return sockets.at(-1).readyState") > 1, "the WebSocket is open still")
    expect(page.echo("hello") == ["5 B", "hello"], f"hello became {page.rows('in')}")
    expect(page.echo("世界 ß 😀") == ["14 B", "世界 ß 😀"], f"it became {page.rows('in')}")
    page.choose("form", "hex")
    expect(page.echo("fc 2a 00 41") == ["bin 4 B", r"\xfc*\0A"], f"hex became {page.rows('in')}")
    page.choose("form", "text")
    for theme in ["dark", "light"]:
        page.choose("theme", theme)
        page.shot(f"webtransport-{theme}")
    page.choose("theme", "")
    page["connect"].click()
    page.wait(lambda: page.state() == "closed" and "closed normally (0)" in page["log"].text, "the end with its code")
    page.shot("webtransport-closed")
    page["connect"].click()
    page.connected()
    expect(page.echo("back")[1] == "back", "the new session does not carry messages")


@check
def webtransport_is_remembered_and_gives_way(page):
    page.open()
    page.wait(lambda: "HTTP/3" in page["session"].text, "WebTransport after a reload")
    # As where a network lets no UDP through.
    page.js("window.WebTransport = class { constructor() { throw new Error('no way'); } }")
    page.over("ws")
    page.clear()
    page.choose("over", "wt")
    said = "WebTransport could not be used (no way): WebSocket is used instead"
    page.wait(lambda: said in page["log"].text, "the reason for another way")
    page.connected()
    expect(page.echo("by the other way")[1] == "by the other way", "the other way carries nothing")
    page.over("ws")
    page.open()


@check
def a_burst_leaves_the_page_alive(page):
    page.clear()
    page["input"].clear()
    page.js(
        "window.pauses = []; let last = performance.now();"
        "requestAnimationFrame(function frame(now) { pauses.push(now - last); last = now; requestAnimationFrame(frame); });"
        "for (let n = 0; n < 2000; n++) sockets.at(-1).send(`message ${n} of a burst`);"
    )
    page["input"].send_keys("still typing")
    page.wait(lambda: len(page.rows("in")) == 2000, "2,000 messages")
    expect(page.rows("in")[-1][1] == "message 1999 of a burst", f"the last one is {page.rows('in')[-1]}")
    expect(page["input"].get_property("value") == "still typing", "keys were lost in the burst")
    longest = page.js("return Math.max(...pauses)")
    expect(longest < 1000, f"no frame for {longest:.0f} ms")
    page.shot("burst")


@check
def the_newest_is_in_view_until_one_scrolls_up(page):
    below = "const v = document.getElementById('view'); return v.scrollHeight - v.scrollTop - v.clientHeight"
    page.wait(lambda: page.js(below) < 8, "the newest message in view")
    ActionChains(page.driver).scroll_from_origin(ScrollOrigin.from_element(page["view"]), 0, -3000).perform()
    page.wait(lambda: page["jump"].is_displayed(), "the button to the newest")
    page.js("for (let n = 0; n < 7; n++) sockets.at(-1).send('below')")
    page.wait(lambda: page["jump"].text.startswith("7 "), f"7 new messages on the button, it says {page['jump'].text!r}")
    expect(page.js(below) > 2000, "the list moved although one was reading")
    page.shot("scrolled-up")
    page["jump"].click()
    page.wait(lambda: page.js(below) < 8 and not page["jump"].is_displayed(), "the newest after the button")


@check
def the_log_has_a_bound_and_says_so(page):
    page.js("for (let n = 0; n < 3500; n++) sockets.at(-1).send(`more ${n}`)")
    page.wait(lambda: page.rows("in")[-1][1] == "more 3499", "the last of 3,500 more")
    expect(page["count"].text.startswith("5,000 "), f"the log has {page['count'].text}")
    expect(page.js("return document.querySelectorAll('#log li').length") == 5000, "there are more rows than messages")
    page.js("document.getElementById('view').scrollTop = 0")
    page.wait(lambda: page["dropped"].is_displayed() and "dropped" in page["dropped"].text, "the notice of what was dropped")
    page.clear()


@check
def a_narrow_window_has_no_sideways_scrolling(page):
    page.size(360, 740)
    for text in ["hello", "世界", "x" * 3000, '{"id":1,"temperature":21.5,"unit":"C"}']:
        page.write(text)
        page["input"].send_keys(Keys.ENTER)
    page.wait(lambda: len(page.rows("in")) == 4, "four echoes")
    for language in ["zh", "en"]:
        page.choose("lang", language)
        for details in [True, False]:
            if page["facts"].is_displayed() != details:
                page["details"].click()
            for view in ["hex", "text"]:
                page.choose("view", view)
                if view == "hex":
                    dump = "00000000  68 65 6c 6c 6f           |hello|"
                    page.wait(lambda: page.rows("in")[0][1] == dump, f"eight bytes in a row, there is {page.rows('in')[0][1]!r}")
                where = f"{language}, {view}{', details' if details else ''}"
                wide = page.js("return document.documentElement.scrollWidth - innerWidth")
                expect(wide <= 0, f"{wide} px too wide ({where})")
                outside = page.js(
                    "return [...document.querySelectorAll('button, input, select, textarea')]"
                    ".filter((e) => e.checkVisibility() && !e.closest('#log') && e.getBoundingClientRect().right > innerWidth)"
                    ".map((e) => e.id || e.className)")
                expect(not outside, f"out of the window ({where}): {outside}")
                page.shot(f"narrow-{language}-{view}{'-details' if details else ''}")
    page.size(1280, 800)


@check
def a_token_goes_with_the_handshake_and_out_of_sight(page):
    page.open("#token=se%20cr%C3%A9t")
    expect("#" not in page.driver.current_url, f"the token is still in {page.driver.current_url}")
    token = base64.urlsafe_b64encode("se crét".encode()).decode().rstrip("=")
    offered = page.wait(lambda: [
        value
        for event in page.events() if event["method"] == "Network.webSocketWillSendHandshakeRequest"
        for name, value in event["params"]["request"]["headers"].items() if name.lower() == "sec-websocket-protocol"
    ], "the handshake in the log of the network")
    expect(offered[-1].split(", ")[:2] == ["sockeye", f"token.{token}"], f"the subprotocols offered are {offered[-1]!r}")


@check
def nothing_was_refused_nor_asked_elsewhere(page):
    expect(page.js("return refused") == [], f"the policy refused {page.js('return refused')}")
    complaints = [entry["message"] for entry in page.driver.get_log("browser")]
    expect(not complaints, f"the browser's console says {complaints}")
    home = urllib.parse.urlsplit(page.base).netloc
    urls = [
        params.get("url") or params["request"]["url"]
        for method, params in ((event["method"], event["params"]) for event in page.events())
        if method in ("Network.requestWillBeSent", "Network.webSocketCreated")
    ]
    expect(len(urls) > 8, f"the log of the network has only {urls}")
    abroad = {url for url in urls if urllib.parse.urlsplit(url).netloc not in (home, "") and not url.startswith("blob:")}
    expect(not abroad, f"asked for elsewhere: {abroad}")


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("base", help="where `sockeye serve echo` answers, such as http://127.0.0.1:3000/")
    parser.add_argument("--shots", type=pathlib.Path, metavar="DIR", help="save screenshots here")
    given = parser.parse_args()
    return visit(given.base, given.shots, CHECKS)


def visit(base, shots, checks):
    """All of `checks` with a browser of their own at `base`: the exit code."""
    if shots:
        shots.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as downloads:
        page = Page(base.rstrip("/") + "/", shots, pathlib.Path(downloads))
        try:
            return run(checks, page)
        finally:
            page.driver.quit()


def run(checks, page):
    """Each check in its turn, up to the first that does not hold: the exit code."""
    for function in checks:
        sentence = function.__name__.replace("_", " ")
        try:
            function(page)
        except (Failed, WebDriverException) as failure:
            page.shot("failed")
            why = getattr(failure, "msg", None) or failure
            print(f"FAILED: {sentence}: {why}\n{page.driver.get_log('browser')}", file=sys.stderr)
            return 1
        print(f"ok: {sentence}", flush=True)
    print(f"{len(checks)} passed")
    return 0


if __name__ == "__main__":
    sys.exit(main())
