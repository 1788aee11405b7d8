"""A person at a terminal in a chat: drives `sockeye chat` through a pseudo-terminal. The server is played here.

`chat_editor.py TEST SOCKEYE`; every test is a function here and fails by an exception.
"""
import json
import os
import sys

from editor import LONG, Peer, Terminal


class Server(Peer):
    """The other end, word by word."""

    def let_in(self, rooms=("lobby",), last=0, name="ann", **more):
        """Takes a connection and its hello, and gives that."""
        self.accept()
        self.lines = self.stream.makefile("r", encoding="utf-8")
        hello = self.hear_object()
        assert hello["do"] == "hello", hello
        limits = {"line": 8192, "burst": 40, "rate": 10}
        self.say(event="welcome", name=name, is_guest=False, resume="t0k", limits=limits, **more)
        for room in rooms:
            self.say(event="joined", room=room, people=["ann", "bob", "李雷"], topic="", first=1, last=last, after=last)
        return hello

    def hear_object(self):
        return json.loads(self.lines.readline())

    def say(self, **event):
        self.stream.sendall((json.dumps({"v": 1, **event}) + "\n").encode())

    def line(self, id, text, room="lobby", who="bob", **more):
        self.say(event="line", room=room, id=id, time="2026-01-02T03:04:05Z", kind="say", text=text, **{"from": who}, **more)

    def keep(self, said, id):
        """Acknowledges what was said, as a server does."""
        self.line(id, said["text"], room=said["room"], who="ann", tag=said["tag"])
        self.say(event="done", room=said["room"], id=id, tag=said["tag"])


def start(*options, rooms=("lobby",), environment=None):
    os.environ.update(environment or {})
    server = Server()
    words = [word for room in rooms for word in ("--room", room)]
    terminal = Terminal("chat", server.at, *words, *options)
    hello = server.let_in(rooms)
    assert hello["rooms"] == {room: None for room in rooms}, hello
    terminal.until("you are ann in #%s" % rooms[-1])
    terminal.until("#%s> " % rooms[0])
    return terminal, server


def in_a_chat_a_half_typed_line_survives():
    terminal, server = start()
    terminal.type("half a li")
    terminal.until("half a li")
    server.line(1, "a line from bob")
    terminal.until("2026-01-02 ")
    terminal.until(": a line from bob")
    terminal.until("#lobby> half a li")
    terminal.type("ne\r")
    said = server.hear_object()
    assert (said["do"], said["room"], said["text"]) == ("say", "lobby", "half a line"), said
    server.keep(said, 2)
    server.line(3, "the next")
    before = terminal.until(": the next")
    assert b"ann: " not in before, "our own line is shown again: %r" % before
    terminal.type("\x03")
    terminal.ended(130)


def in_a_chat_names_have_colours():
    terminal, server = start()
    server.line(1, "one")
    server.line(2, "two", who="李雷")
    before = terminal.until("two")
    colours = [before[: before.index(name.encode())][-5:] for name in ("bob", "李雷")]
    assert all(b"\x1b[" in colour and colour.endswith(b"m") for colour in colours), before
    assert colours[0] != colours[1], before
    terminal.type("\x03")
    terminal.ended(130)


def in_a_chat_no_colour_is_shown_to_who_wants_none():
    terminal, server = start(environment={"NO_COLOR": "1"})
    server.line(1, "one")
    terminal.until("] bob: one\r\n")
    server.line(1000, "elsewhere", room="dev")
    terminal.until("(1) #lobby> ")
    terminal.type("\x03")
    terminal.ended(130)


def in_a_chat_escapes_do_not_drive_the_terminal():
    terminal, server = start()
    server.line(1, "\x1b]0;owned\x07\x1b[2Jbeware", who="e\x1b[31mve")
    server.say(event="notice", text="\x1b[2Jnotice")
    before = terminal.until("notice")
    for bad in [b"\x1b]0;", b"\x1b[2J", b"\x07"]:
        assert bad not in before, before
    terminal.type("\x03")
    terminal.ended(130)


def in_a_chat_other_rooms_are_counted_in_the_prompt():
    terminal, server = start(rooms=("lobby", "dev"))
    terminal.type("half")
    terminal.until("half")
    server.line(1, "in dev", room="dev")
    terminal.until("(1) #lobby> half")
    server.line(2, "ann: you are meant", room="dev")
    terminal.until("#dev ")
    terminal.until(": ann: you are meant")
    terminal.until("(1) #lobby> half")
    terminal.type("\x15/next\r")
    terminal.until("you talk in #dev now")
    terminal.until(": in dev")
    terminal.until("    #dev> ")
    terminal.type("here\r")
    said = server.hear_object()
    assert (said["room"], said["text"]) == ("dev", "here"), said
    terminal.type("\x03")
    terminal.ended(130)


def in_a_chat_names_commands_and_rooms_are_completed():
    terminal, server = start(rooms=("lobby", "dev"))
    terminal.type("李\t")
    terminal.until("李雷: ")
    terminal.type("\x15/hi\t")
    terminal.until("/history ")
    terminal.type("\x15")
    terminal.type("/ms\tbo\thi\r")
    told = server.hear_object()
    assert (told["do"], told["to"], told["text"]) == ("tell", "bob", "hi"), told
    terminal.type("/room d\t\r")
    terminal.until("you talk in #dev now")
    terminal.type("\x03")
    terminal.ended(130)


def in_a_chat_the_prompt_names_the_room():
    terminal, server = start()
    terminal.type("/join ops\r")
    join = server.hear_object()
    assert (join["do"], join["room"]) == ("join", "ops"), join
    server.say(event="joined", room="ops", people=["ann"], topic="", first=0, last=0, after=0, tag=join["tag"])
    terminal.until("    #ops> ")
    terminal.type("/join closed\r")
    join = server.hear_object()
    server.say(event="refused", why="banned", text="you are banned from #closed", tag=join["tag"])
    terminal.until("you are banned from #closed")
    terminal.until("    #ops> ")
    terminal.type("/nonsense\r")
    terminal.until("there is no command /nonsense")
    terminal.until("    #ops> ")
    terminal.type("/quit\r")
    assert server.hear_object()["do"] == "quit"
    server.say(event="bye", text="come again")
    server.stream.close()
    server.lines.close()
    terminal.ended(0)


def in_a_chat_a_lost_connection_comes_back():
    terminal, server = start()
    server.line(1, "before")
    terminal.until(": before")
    terminal.type("half")
    terminal.until("half")
    server.lines.close()
    server.stream.close()
    terminal.until("connection lost")
    terminal.until("#lobby> half")
    terminal.type(" said meanwhile\r")
    terminal.until("#lobby> ")
    hello = server.let_in(last=1)
    assert (hello["rooms"], hello["resume"], hello["name"]) == ({"lobby": 1}, "t0k", "ann"), hello
    said = server.hear_object()
    assert said["text"] == "half said meanwhile", said
    terminal.until("nothing was lost; 1 line that waited")
    server.keep(said, 2)
    terminal.type("\x04")
    assert server.hear_object()["do"] == "quit"
    server.stream.close()
    server.lines.close()
    terminal.ended(0)


def in_a_chat_a_refused_line_is_told():
    terminal, server = start()
    terminal.type("too loud\r")
    said = server.hear_object()
    server.say(event="refused", why="muted", text="you are muted for 3 minutes", tag=said["tag"])
    terminal.until("not said: too loud: you are muted for 3 minutes")
    terminal.type("\x03")
    terminal.ended(130)


def in_a_chat_the_end_of_input_waits_for_what_was_said():
    terminal, server = start()
    terminal.type("last words\r")
    said = server.hear_object()
    terminal.type("\x04")
    # Nothing else comes before it is acknowledged.
    server.stream.settimeout(0.2)
    try:
        early = server.stream.recv(1)
    except TimeoutError:
        early = None
    assert early is None, early
    server.stream.settimeout(LONG)
    server.keep(said, 2)
    assert server.hear_object()["do"] == "quit"
    server.stream.close()
    server.lines.close()
    terminal.ended(0)


def in_a_chat_passwords_are_not_remembered():
    terminal, server = start()
    terminal.type("/name ann s3cret\r")
    assert server.hear_object()["password"] == "s3cret"
    terminal.type("a line\r")
    server.hear_object()
    terminal.type("\x03")
    terminal.ended(130)
    folder = os.path.join(os.environ["XDG_STATE_HOME"], "sockeye")
    with open(os.path.join(folder, "chat_history"), encoding="utf-8") as history:
        remembered = history.read()
    assert "a line" in remembered and "s3cret" not in remembered, remembered
    assert os.stat(os.path.join(folder, "chat.json")).st_mode & 0o777 == 0o600


if __name__ == "__main__":
    globals()[sys.argv[1]]()
