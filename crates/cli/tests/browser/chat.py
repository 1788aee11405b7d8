#!/usr/bin/env python3
"""The chat's page in two real browsers, with a person at `nc` in the same room.

    chat.py [--shots DIR] -- sockeye serve chat … {at}

The command starts the server; `{at}` becomes its address, first 127.0.0.1:0 and then, when it is started again, the
one that it chose. Every check is a sentence; the first that does not hold is named on standard error and ends the
run with 1. It needs what page.py needs.
"""

import argparse
import pathlib
import socket
import subprocess
import sys
import tempfile
import urllib.parse

from selenium.common.exceptions import WebDriverException
from selenium.webdriver.common.action_chains import ActionChains
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys

from page import CONTRAST, PATIENCE, Failed, Page, expect

CHECKS = []
MARKUP = "<img src=x onerror=\"document.title='owned'\">"


def check(function):
    """A check: its name is its sentence."""
    CHECKS.append(function)
    return function


class Server:
    """A server that can be killed, and started again where it was."""

    def __init__(self, command):
        self.command, self.at = command, "127.0.0.1:0"
        self.start()

    def start(self):
        words = [word.replace("{at}", self.at) for word in self.command]
        self.process = subprocess.Popen(words, stdin=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
        for line in self.process.stderr:
            if line.startswith("listening "):
                self.at = line.split()[2]
                break
        else:
            raise Failed(f"{words} did not listen")

    def kill(self):
        self.process.kill()
        self.process.communicate()


class Nc:
    """A person with a terminal and nothing else: lines in, lines out."""

    def __init__(self, at):
        host, port = at.rsplit(":", 1)
        self.socket = socket.create_connection((host, int(port)), timeout=PATIENCE)
        self.lines = self.socket.makefile("r", encoding="utf-8", newline="\n")

    def say(self, *lines):
        self.socket.sendall("".join(f"{line}\n" for line in lines).encode())

    def until(self, text):
        """Reads to the line that has `text`, and gives all of it."""
        before = []
        for line in self.lines:
            before.append(line.rstrip("\n"))
            if text in line:
                return before
        raise Failed(f"the end came before {text!r}: {before}")

    def close(self):
        self.lines.close()
        self.socket.close()


class Person(Page):
    """Somebody with a browser."""

    def __init__(self, at, shots, downloads):
        super().__init__(f"http://{at}/", shots, downloads)

    def come(self, name="", path=""):
        """Opens the page for the first time, and gives a name."""
        self.driver.get(self.base + path)
        self.wait(lambda: self["ask-name"].is_displayed(), "the question for a name")
        if name:
            self["name"].send_keys(name)
            self.css("#ask-name .main")[0].click()
        else:
            self["as-guest"].click()
        self.connected()

    def css(self, selector):
        return self.driver.find_elements(By.CSS_SELECTOR, selector)

    def said(self):
        """What the room that is shown has: `[name, text]` of each line, in order."""
        return self.js(
            "return [...document.querySelectorAll('#log .line')].map((row) => {"
            " const text = row.querySelector('.text').cloneNode(true);"
            " text.querySelector('.state')?.remove();"
            " return [row.querySelector('.who .name').textContent, text.textContent.trim()]; })")

    def texts(self):
        return [text for _, text in self.said()]

    def hears(self, text):
        self.wait(lambda: text in self.texts(), f"{text!r}; there is {self.texts()[-5:]}")

    def say(self, text):
        self["input"].send_keys(text + Keys.ENTER)

    def kept(self, text):
        """Waits for the tick at our own line."""
        ticks = (
            "return [...document.querySelectorAll('#log .line.mine')].some((row) => row.querySelector('.state')"
            "?.classList.contains('kept') && row.querySelector('.text').textContent.startsWith(arguments[0]))")
        self.wait(lambda: self.js(ticks, text), f"a tick at {text!r}; there is {self['log'].text[-200:]!r}")

    def rooms(self):
        return self.js(
            "return [...document.querySelectorAll('nav li > button:first-child')]"
            ".map((button) => [...button.children].filter((e) => e.className !== 'unseen').map((e) => e.textContent).join(' '))")

    def go(self, words):
        """Goes where Ctrl+K and `words` lead."""
        ActionChains(self.driver).key_down(Keys.CONTROL).send_keys("k").key_up(Keys.CONTROL).perform()
        self.wait(lambda: self["go"].is_displayed(), "Ctrl+K asks where to go")
        self["go-words"].send_keys(words)
        self.wait(lambda: self.css("#go-list li"), f"somewhere to go for {words!r}")
        self["go-words"].send_keys(Keys.ENTER)


class World:
    """The server and everyone who is at it."""

    def __init__(self, command, shots, downloads):
        self.server = Server(command)
        self.ann = Person(self.server.at, shots, downloads)
        self.bob = Person(self.server.at, shots, downloads)
        self.nc = Nc(self.server.at)

    def close(self):
        for person in [self.ann, self.bob]:
            person.driver.quit()
        self.nc.close()
        self.server.kill()


# --- The checks, in the order in which they run -----------------------------------------------------------


@check
def a_name_is_asked_for_once(world):
    ann = world.ann
    ann.come("ann")
    ann.wait(lambda: ann["me"].text == "ann", f"the name ann; one is called {ann['me'].text!r}")
    ann.driver.get(ann.base)
    ann.connected()
    expect(not ann["ask-name"].is_displayed(), "the name is asked for again")
    ann.wait(lambda: ann["me"].text == "ann", f"ann is {ann['me'].text!r} after a reload")


@check
def a_name_that_somebody_has_is_refused_and_another_taken(world):
    bob = world.bob
    bob.driver.get(bob.base)
    bob.wait(lambda: bob["ask-name"].is_displayed(), "the question for a name")
    bob["name"].send_keys("ann" + Keys.ENTER)
    bob.wait(lambda: bob["name-error"].text, "a reason why not")
    expect(bob["ask-name"].is_displayed(), "the question is gone although the name was refused")
    bob["name"].clear()
    bob["name"].send_keys("李雷" + Keys.ENTER)
    bob.wait(lambda: bob["me"].text == "李雷", f"the name 李雷; there is {bob['me'].text!r}")
    bob.connected()


@check
def two_pages_and_nc_talk(world):
    ann, bob, nc = world.ann, world.bob, world.nc
    nc.say("/name gadget")
    nc.until("gadget")
    ann.wait(lambda: "gadget" in ann["names"].text, f"gadget among {ann['names'].text!r}")
    ann.say("hello all")
    ann.kept("hello all")
    bob.hears("hello all")
    nc.until("ann: hello all")
    bob.say("大家好 😀")
    ann.hears("大家好 😀")
    nc.until("李雷: 大家好 😀")
    nc.say("21.5 °C")
    ann.hears("21.5 °C")
    bob.hears("21.5 °C")
    expect(ann.said()[-1] == ["gadget", "21.5 °C"], f"the last line is {ann.said()[-1]}")


@check
def lines_are_said_one_by_one(world):
    ann = world.ann
    ann["input"].send_keys("first")
    ann["input"].send_keys(Keys.SHIFT + Keys.ENTER)
    ann["input"].send_keys("second" + Keys.ENTER)
    ann.kept("second")
    expect(ann.texts()[-2:] == ["first", "second"], f"two lines became {ann.texts()[-2:]}")
    lines = world.nc.until("second")
    expect([line for line in lines if "ann:" in line][-2:] == ["ann: first", "ann: second"], f"nc has {lines}")


@check
def markup_and_controls_stay_text(world):
    ann, nc = world.ann, world.nc
    title = ann.driver.title
    nc.say(MARKUP, "</p><script>document.title='owned'</script>", "a\x1b[31m\u202eb\u200bc", "end of it")
    ann.hears("end of it")
    shown = ann.texts()[-4:-1]
    expect(shown[0] == MARKUP, f"{MARKUP} is shown as {shown[0]!r}")
    raw = ann.js(r"return /[\u202a-\u202e\u2066-\u2069\x1b\x07\x85]/.test(document.body.textContent)")
    expect(not raw, "a control character got into the page")
    inside = ann.js("return document.querySelectorAll('#log .text :not(i, a, b, .state, .state *)').length")
    expect(inside == 0, f"{inside} elements in the messages that the page did not make")
    expect(ann.driver.title == title, f"the title became {ann.driver.title}")


@check
def addresses_of_the_web_are_links_and_nothing_else_is(world):
    world.nc.say("see https://example.com/a_(b)?x=1, (http://[::1]:3000/)! javascript:alert(1) ftp://x.example")
    world.ann.wait(lambda: len(world.ann.css("#log a")) == 2, "two links")
    got = [(a.get_property("href"), a.text, a.get_attribute("rel")) for a in world.ann.css("#log a")]
    rel = "noopener noreferrer"
    wanted = [("https://example.com/a_(b)?x=1",) * 2 + (rel,), ("http://[::1]:3000/",) * 2 + (rel,)]
    expect(got == wanted, f"the links are {got}")


@check
def who_is_named_sees_it(world):
    ann = world.ann
    world.nc.say("annabel is not meant", "is ann there?")
    ann.hears("is ann there?")
    marked = [row.text for row in ann.css("#log .line.named .text")]
    expect(marked[-1:] == ["is ann there?"] and not any("annabel" in text for text in marked), f"marked are {marked}")


@check
def names_are_completed(world):
    ann = world.ann
    ann["input"].send_keys("gad" + Keys.TAB)
    expect(ann["input"].get_property("value") == "gadget: ", f"gad became {ann['input'].get_property('value')!r}")
    ann["input"].clear()


@check
def other_rooms_count_what_was_not_read(world):
    ann, bob = world.ann, world.bob
    ann.go("dev")
    ann.wait(lambda: ann["room"].text == "#dev", f"#dev; there is {ann['room'].text!r}")
    bob.say("one")
    bob.say("two")
    bob.kept("two")
    ann.wait(lambda: any(room.startswith("# lobby 2") for room in ann.rooms()), f"2 unread in {ann.rooms()}")
    ann.wait(lambda: ann.driver.title.startswith("(2) "), f"2 in the title {ann.driver.title!r}")
    ann.shot("unread")
    ActionChains(ann.driver).key_down(Keys.ALT).send_keys(Keys.ARROW_UP).key_up(Keys.ALT).perform()
    ann.hears("two")
    expect(ann["room"].text == "#lobby", f"Alt+Up leads to {ann['room'].text!r}")
    expect(len(ann.css("#log .new")) == 1, "no mark where the new lines begin")
    after = ann.js("return document.querySelector('#log .new').nextElementSibling.querySelector('.text').textContent")
    expect(after == "one", f"the mark of the new stands before {after!r}")
    ann.wait(lambda: not any("2" in room for room in ann.rooms()), f"nothing unread in {ann.rooms()}")


@check
def two_can_talk_alone(world):
    ann, bob = world.ann, world.bob
    ann.say("/msg 李雷 psst")
    ann.wait(lambda: ann["room"].text == "李雷", "a conversation with 李雷")
    ann.kept("psst")
    bob.wait(lambda: "ann 1" in " ".join(bob.rooms()), f"one unread from ann in {bob.rooms()}")
    bob.go("ann")
    bob.hears("psst")
    bob.say("yes?")
    ann.hears("yes?")
    expect(ann.said() == [["ann", "psst"], ["李雷", "yes?"]], f"the conversation is {ann.said()}")
    ann.shot("direct")
    ann.driver.refresh()
    ann.connected()
    ann.go("李雷")
    expect(ann.said() == [["ann", "psst"], ["李雷", "yes?"]], f"after a reload it is {ann.said()}")
    for person in [ann, bob]:
        person.go("lobby")
        person.wait(lambda: person["room"].text == "#lobby", "the lobby")


@check
def a_topic_is_set_and_seen(world):
    ann, bob = world.ann, world.bob
    ann.say("/join plans")
    ann.wait(lambda: ann["room"].text == "#plans", "#plans")
    ann.say("/topic Release on Friday")
    ann.wait(lambda: ann["topic"].text == "Release on Friday", f"the topic; there is {ann['topic'].text!r}")
    bob.say("/join plans")
    bob.wait(lambda: bob["topic"].text == "Release on Friday", f"the topic for others; there is {bob['topic'].text!r}")
    bob.say("/kick ann")
    bob.wait(lambda: bob["error"].text, "a reason why only owners may do that")
    for person in [ann, bob]:
        person.say("/part")
        person.wait(lambda: "plans" not in " ".join(person.rooms()), f"without #plans: {person.rooms()}")


@check
def what_makes_no_sense_is_told_and_stays(world):
    ann = world.ann
    for text in ["/nonsense", "/msg", "x" * 9000]:
        ann.write(text)
        ann["input"].send_keys(Keys.ENTER)
        ann.wait(lambda: ann["error"].text, f"an error for {text[:20]!r}")
        expect(ann["input"].get_property("value") == text, "what cannot be sent must stay to be mended")
    ann["input"].clear()
    ann.say("//slash")
    ann.kept("/slash")
    expect(not ann["error"].text, f"the error stays: {ann['error'].text!r}")


@check
def history_comes_while_one_scrolls_up_and_the_place_is_kept(world):
    ann, nc = world.ann, world.nc
    talkers = [Nc(world.server.at) for _ in range(8)]
    for n, talker in enumerate(talkers):
        talker.say(f"/name talker{n}", *[f"line {n}.{m} of a long talk" for m in range(30)])
        ann.hears(f"line {n}.29 of a long talk")
    for talker in talkers:
        talker.close()
    ann.driver.refresh()
    ann.connected()
    ann.hears("line 7.29 of a long talk")
    expect("line 0.0 of a long talk" not in ann.texts(), "all of the history came at once")
    for _ in range(60):
        if "hello all" in ann.texts():
            break
        first = ann.texts()[0]
        top = "const row = [...document.querySelectorAll('#log .line')].find((row) => row.querySelector('.text').textContent.startsWith(arguments[0]));"
        ann.js("document.getElementById('view').scrollTop = 30")
        before = ann.js(f"{top} return row.getBoundingClientRect().top", first)
        ann.wait(lambda: ann.texts()[0] != first, "earlier lines")
        after = ann.js(f"{top} return row.getBoundingClientRect().top", first)
        expect(abs(after - before) < 80, f"{first!r} moved by {after - before} px")
    expect("hello all" in ann.texts(), "the beginning never came")
    talk = [text for text in ann.texts() if text.endswith("of a long talk")]
    expect(talk == [f"line {n}.{m} of a long talk" for n in range(8) for m in range(30)], f"the talk is {talk}")
    ann.shot("history")
    nc.say("news meanwhile")
    ann.wait(lambda: ann["jump"].text.startswith("1 "), f"1 new on the button, it says {ann['jump'].text!r}")
    ann["jump"].click()
    ann.wait(lambda: not ann["jump"].is_displayed(), "the newest after the button")


@check
def lines_are_found(world):
    ann = world.ann
    ann.driver.refresh()
    ann.connected()
    ann.hears("news meanwhile")
    ann["open-search"].click()
    ann["words"].send_keys("大家")
    ann.wait(lambda: any("大家好" in row.text for row in ann.css("#found button")), f"大家好; found {ann['found'].text!r}")
    ann.shot("search")
    ann.css("#found button")[0].click()
    ann.hears("大家好 😀")
    seen = "const row = [...document.querySelectorAll('#log .line')].find((row) => row.textContent.includes('大家好'));" \
        "const at = row.getBoundingClientRect(); return at.top > 0 && at.bottom < innerHeight"
    ann.wait(lambda: ann.js(seen), "the line that was found in view")
    ann["words"].send_keys(Keys.ESCAPE)
    ann.wait(lambda: not ann["search"].is_displayed(), "Escape closes the search")
    ann.js("document.getElementById('view').scrollTop = 1e9")


@check
def nothing_is_lost_or_twice_when_the_server_comes_back(world):
    ann, bob = world.ann, world.bob
    for person in [ann, bob]:
        person.driver.refresh()
        person.connected()
        person.hears("news meanwhile")
    ann.say("before the end")
    bob.hears("before the end")
    world.server.kill()
    for person in [ann, bob]:
        person.wait(lambda: person.state() != "open", "the end of the connection")
    ann.say("said meanwhile, 1")
    ann.say("said meanwhile, 2")
    ann.wait(lambda: len(ann.css("#log .pending")) == 2, "two lines on their way")
    ann.wait(lambda: ann["trouble"].is_displayed(), "a word about the connection")
    ann.shot("lost")
    world.server.start()
    world.nc = Nc(world.server.at)
    world.nc.say("/name gadget", "back again")
    for person in [ann, bob]:
        person.connected()
        for text in ["back again", "said meanwhile, 1", "said meanwhile, 2"]:
            person.hears(text)
    ann.kept("said meanwhile, 2")
    expect(not ann.css("#log .pending"), "lines are still on their way")
    for person in [ann, bob]:
        person.wait(lambda: person["me"].text in ("ann", "李雷"), f"the same person; one is {person['me'].text!r}")
        texts = person.texts()
        for text in ["before the end", "back again", "said meanwhile, 1", "said meanwhile, 2"]:
            expect(texts.count(text) == 1, f"{text!r} is there {texts.count(text)} times")
        expect(texts.index("said meanwhile, 1") < texts.index("said meanwhile, 2"), "the order changed")
    expect(ann.said()[-3:] == bob.said()[-3:], f"{ann.said()[-3:]} and {bob.said()[-3:]}")


@check
def who_slept_catches_up(world):
    ann, bob = world.ann, world.bob
    ann.cdp("Network.emulateNetworkConditions", offline=True, latency=0, downloadThroughput=0, uploadThroughput=0)
    # What the browser says when the way has broken.
    ann.js("const socket = sockets.at(-1), { onclose } = socket; socket.onclose = null; socket.close(); onclose({ code: 1006, reason: '' })")
    ann.wait(lambda: ann.state() != "open", "the end of the connection")
    bob.say("while ann slept")
    bob.kept("while ann slept")
    ann.cdp("Network.emulateNetworkConditions", offline=False, latency=0, downloadThroughput=-1, uploadThroughput=-1)
    ann.connected()
    ann.hears("while ann slept")
    expect(ann.texts().count("while ann slept") == 1, "it is there twice")


@check
def what_was_missed_is_told_and_fetched(world):
    ann, bob = world.ann, world.bob
    # A page that is too slow: the server passes over what it would have to keep for it.
    ann.js(
        "window.passed = []; const socket = sockets.at(-1); window.deliver = socket.onmessage;"
        "socket.onmessage = ({ data }) => passed.push(...data.split('\\n').filter(Boolean).map((line) => JSON.parse(line)));")
    for text in ["missed 1", "missed 2", "missed 3"]:
        bob.say(text)
    bob.kept("missed 3")
    ids = "return passed.filter(({ event }) => event === 'line').map(({ id }) => id)"
    ann.wait(lambda: len(ann.js(ids)) == 3, "three lines that are passed over")
    low, high = min(ann.js(ids)), max(ann.js(ids))
    ann.js(
        "const [room, from, to] = arguments; sockets.at(-1).onmessage = deliver;"
        "deliver({ data: JSON.stringify({ v: 1, event: 'missed', room, from, to }) + '\\n' });", "lobby", low, high)
    ann.wait(lambda: ann.css("#log .gap button") and "3 lines were skipped" in ann["log"].text, "a word about what was missed")
    ann.shot("missed")
    ann.css("#log .gap button")[-1].click()
    ann.hears("missed 3")
    expect(ann.texts()[-3:] == ["missed 1", "missed 2", "missed 3"], f"the last lines are {ann.texts()[-3:]}")
    expect("were skipped" not in ann["log"].text, "what was fetched is still called missed")


@check
def notifications_come_only_to_who_has_asked_for_them(world):
    ann, nc = world.ann, world.nc
    ann.js(
        "window.shown = []; window.asked = 0;"
        "window.Notification = class { static permission = 'default';"
        " static async requestPermission() { asked += 1; this.permission = 'granted'; return 'granted'; }"
        " constructor(title, { body }) { shown.push([title, body]); } };"
        "Object.defineProperty(document, 'hidden', { configurable: true, get: () => window.away === true });")
    ann.js("window.away = true")
    nc.say("nobody is called")
    world.bob.hears("nobody is called")
    ann.js("window.away = false")
    expect(ann.js("return [asked, shown]") == [0, []], f"unasked: {ann.js('return [asked, shown]')}")
    ann["notify"].click()
    ann.wait(lambda: ann["notify"].get_attribute("aria-pressed") == "true", "the bell is on")
    ann.js("window.away = true")
    nc.say("ann, wake up")
    ann.wait(lambda: ann.js("return shown") == [["gadget · #lobby", "ann, wake up"]], "a notification")
    ann.js("window.away = false")
    ann["notify"].click()
    ann.wait(lambda: ann["notify"].get_attribute("aria-pressed") == "false", "the bell is off")
    ann.hears("ann, wake up")


@check
def webtransport_carries_it_as_well(world):
    ann, bob = world.ann, world.bob
    carrier = "return sockets.filter((socket) => socket.readyState === 1).length"
    ann["settings"].click()
    expect(ann["over"].is_enabled(), f"WebTransport cannot be chosen: {ann['over'].get_attribute('title')!r}")
    for over, sockets in [("wt", 0), ("ws", 1)]:
        if not ann["more"].is_displayed():
            ann["settings"].click()
        ann.choose("over", over)
        ann.keys(Keys.ESCAPE)
        ann.wait(lambda: ann.js(carrier) == sockets, f"{sockets} WebSockets with {over}")
        ann.connected()
        ann.say(f"by {over}")
        ann.kept(f"by {over}")
        bob.hears(f"by {over}")
        bob.say(f"to {over}")
        ann.hears(f"to {over}")
        texts = [text for text in ann.texts() if text in (f"by {over}", f"to {over}")]
        expect(len(texts) == 2, f"{texts} with {over}")


@check
def one_is_the_same_in_a_second_tab(world):
    ann = world.ann
    first = ann.driver.current_window_handle
    ann.driver.switch_to.new_window("tab")
    ann.driver.get(ann.base)
    ann.connected()
    ann.wait(lambda: ann["me"].text == "ann", f"the second tab is {ann['me'].text!r}")
    ann.say("from the second tab")
    ann.kept("from the second tab")
    ann.driver.close()
    ann.driver.switch_to.window(first)
    ann.hears("from the second tab")
    expect(ann.said()[-1] == ["ann", "from the second tab"], f"the last line is {ann.said()[-1]}")


@check
def everything_has_a_name_for_screen_readers(world):
    roles = {"button", "textbox", "searchbox", "combobox", "log", "navigation", "complementary", "dialog"}
    nodes = [node for node in world.ann.cdp("Accessibility.getFullAXTree")["nodes"] if not node["ignored"]]
    found = [node for node in nodes if node["role"]["value"] in roles]
    expect(len(found) > 10, f"only {len(found)} controls in the accessibility tree")
    nameless = [(node["role"]["value"], node.get("properties")) for node in found
                if not node.get("name", {}).get("value") and not (node["role"]["value"] == "log" and live(node))]
    expect(not nameless, f"without a name: {nameless}")
    world.nc.say("heard by everyone")
    world.ann.wait(lambda: "gadget: heard by everyone" in world.ann["live"].get_property("textContent"), "the line in the live region")


def live(node):
    return any(one["name"] == "live" and one["value"].get("value") == "polite" for one in node.get("properties", []))


@check
def languages_and_themes_switch(world):
    ann = world.ann
    colours = {}
    for language, tag, word in [("en", "en", "Send"), ("zh", "zh-CN", "发送")]:
        for theme in ["light", "dark"]:
            ann["settings"].click()
            ann.choose("lang", language)
            ann.choose("theme", theme)
            empty = ann.js("return [...document.querySelectorAll('[data-t]')].filter((e) => !e.textContent).map((e) => e.dataset.t)")
            expect(not empty, f"no word in {language} for {empty}")
            faint = ann.js(CONTRAST)
            expect(not faint, f"too little contrast in the settings ({theme}): {faint}")
            ann.shot(f"settings-{theme}-{language}")
            ann.keys(Keys.ESCAPE)
            ann.wait(lambda: not ann["more"].is_displayed(), "Escape closes the settings")
            expect(ann["send"].text == word, f"in {language} the button says {ann['send'].text!r}")
            expect(ann.js("return document.documentElement.lang") == tag, f"the page is not marked as {tag}")
            colours[theme] = ann.js("return getComputedStyle(document.body).backgroundColor")
            faint = ann.js(CONTRAST)
            expect(not faint, f"too little contrast ({theme}): {faint}")
            ann.shot(f"{theme}-{language}")
    expect(colours["light"] != colours["dark"], f"light and dark are both {colours['light']}")


@check
def names_of_any_colour_can_be_read(world):
    ann = world.ann
    for theme in ["light", "dark"]:
        ann.js(
            "document.documentElement.dataset.theme = arguments[0];"
            "const list = document.getElementById('names');"
            "for (let hue = 0; hue < 360; hue += 5) { const li = document.createElement('li'); const b = document.createElement('b');"
            " b.className = hue % 2 ? 'face probe' : 'name probe'; b.textContent = 'name'; b.style.setProperty('--hue', hue);"
            " li.className = 'probe'; li.append(b); list.append(li); }", theme)
        faint = ann.js(CONTRAST)
        expect(not faint, f"too little contrast ({theme}): {faint}")
        ann.js("document.querySelectorAll('li.probe').forEach((li) => li.remove())")


@check
def a_phone_has_room_for_everything(world):
    ann = world.ann
    ann.size(360, 740)
    for text in ["x" * 300, "世界" * 60]:
        ann.write(text)
        ann["input"].send_keys(Keys.ENTER)
        ann.kept(text)
    for language in ["zh", "en"]:
        ann["open-side"].click()
        ann.wait(lambda: ann["side"].is_displayed(), "the list of rooms")
        ann.shot(f"phone-rooms-{language}")
        ann["settings"].click()
        ann.choose("theme", "dark" if language == "zh" else "light")
        ann.choose("lang", language)
        ann.keys(Keys.ESCAPE)
        ann.keys(Keys.ESCAPE)
        ann.wait(lambda: not ann["side"].is_displayed(), "Escape closes the list")
        ann["open-people"].click()
        ann.wait(lambda: ann["people"].is_displayed(), "the list of people")
        ann.shot(f"phone-people-{language}")
        ann.js("document.getElementById('shade').click()")
        ann.wait(lambda: not ann["people"].is_displayed(), "a click beside it closes the list")
        wide = ann.js("return [document.documentElement.scrollWidth - innerWidth, document.getElementById('view').scrollWidth - document.getElementById('view').clientWidth]")
        expect(wide == [0, 0], f"{wide} px too wide")
        outside = ann.js(
            "return [...document.querySelectorAll('main button, main textarea')].filter((e) => e.checkVisibility()"
            " && (e.getBoundingClientRect().right > innerWidth || e.getBoundingClientRect().height < 24)).map((e) => e.id || e.className)")
        expect(not outside, f"out of the window, or too small for a finger: {outside}")
        ann.shot(f"phone-{language}")
    ann["open-side"].click()
    [room] = [button for button in ann.css("nav li > button:first-child") if "dev" in button.text]
    room.click()
    ann.wait(lambda: ann["room"].text == "#dev" and not ann["side"].is_displayed(), "#dev, and the list closed")
    ann.size(1280, 800)


@check
def an_address_names_the_room_and_the_person(world):
    bob = world.bob
    bob.driver.get(bob.base + "?room=garden&name=flora")
    bob.connected()
    bob.wait(lambda: (bob["room"].text, bob["me"].text) == ("#garden", "flora"), f"flora in #garden; there is {bob['me'].text} in {bob['room'].text}")


@check
def a_guest_needs_no_name(world):
    bob = world.bob
    bob.js("localStorage.clear(); sessionStorage.clear()")
    bob.driver.get("about:blank")
    bob.come(path="?room=lobby")
    bob.wait(lambda: bob["me"].text.startswith("guest"), f"a guest's name; there is {bob['me'].text!r}")
    bob.say("I am nobody")
    world.ann.go("lobby")
    world.ann.hears("I am nobody")


@check
def nothing_was_refused_nor_asked_elsewhere(world):
    for person in [world.ann, world.bob]:
        expect(person.js("return refused") == [], f"the policy refused {person.js('return refused')}")
        home = urllib.parse.urlsplit(person.base).netloc
        urls = [
            params.get("url") or params["request"]["url"]
            for method, params in ((event["method"], event["params"]) for event in person.events())
            if method in ("Network.requestWillBeSent", "Network.webSocketCreated")
        ]
        expect(len(urls) > 8, f"the log of the network has only {urls}")
        abroad = {url for url in urls if urllib.parse.urlsplit(url).netloc not in (home, "")}
        expect(not abroad, f"asked for elsewhere: {abroad}")
        # A connection that is refused while the server is away is told there, and nothing else is.
        complaints = [entry["message"] for entry in person.driver.get_log("browser") if "WebSocket connection to" not in entry["message"]]
        expect(not complaints, f"the browser's console says {complaints}")


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--shots", type=pathlib.Path, metavar="DIR", help="save screenshots here")
    parser.add_argument("command", nargs="+", help="starts the server; {at} is its address")
    given = parser.parse_args()
    if given.shots:
        given.shots.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as downloads:
        world = World(given.command, given.shots, pathlib.Path(downloads))
        try:
            return run(world)
        finally:
            world.close()


def run(world):
    for function in CHECKS:
        sentence = function.__name__.replace("_", " ")
        try:
            function(world)
        except (Failed, WebDriverException, OSError) as failure:
            world.ann.shot("failed-ann")
            world.bob.shot("failed-bob")
            why = getattr(failure, "msg", None) or failure
            print(f"FAILED: {sentence}: {why}", file=sys.stderr)
            return 1
        print(f"ok: {sentence}", flush=True)
    print(f"{len(CHECKS)} passed")
    return 0


if __name__ == "__main__":
    sys.exit(main())
