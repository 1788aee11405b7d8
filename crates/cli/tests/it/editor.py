"""A person at a terminal: drives sockeye's line editor through a pseudo-terminal.

`editor.py TEST SOCKEYE`; every test is a function here and fails by an exception.
"""
import fcntl
import os
import pty
import select
import signal
import socket
import subprocess
import sys
import termios
import time

LONG = 6
SOCKEYE = sys.argv[2]


class Terminal:
    def __init__(self, *arguments):
        self.master, self.slave = pty.openpty()
        # 100 columns, so that no line is wrapped.
        fcntl.ioctl(self.slave, termios.TIOCSWINSZ, b"\x1e\x00\x64\x00\x00\x00\x00\x00")
        self.before = termios.tcgetattr(self.slave)
        self.seen = b""

        def own_terminal():
            os.setsid()
            fcntl.ioctl(0, termios.TIOCSCTTY, 0)

        self.process = subprocess.Popen(
            [SOCKEYE, *arguments],
            stdin=self.slave,
            stdout=self.slave,
            stderr=self.slave,
            preexec_fn=own_terminal,
            env={**os.environ, "TERM": "xterm"},
        )

    def until(self, text):
        """Waits for text, and forgets everything up to its end."""
        text = text.encode()
        end = time.monotonic() + LONG
        while text not in self.seen:
            left = end - time.monotonic()
            assert left > 0, "%r did not come: %r" % (text, self.seen)
            if select.select([self.master], [], [], left)[0]:
                self.seen += os.read(self.master, 65536)
        before, _, self.seen = self.seen.partition(text)
        return before

    def type(self, text):
        os.write(self.master, text.encode())

    def line(self, text):
        """Types a line as a person does: after the prompt, and sees it before pressing Enter."""
        self.type(text)
        self.until(text)
        self.type("\r")
        self.until("> ")

    def ended(self, code):
        got = self.process.wait(LONG)
        assert got == code, "%r instead of %r: %r" % (got, code, self.rest())
        after = termios.tcgetattr(self.slave)
        assert after == self.before, "the terminal is not as it was: %r %r" % (self.before, after)

    def rest(self):
        while select.select([self.master], [], [], 0)[0]:
            self.seen += os.read(self.master, 65536)
        return self.seen


class Peer:
    def __init__(self):
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.listener.settimeout(LONG)
        self.at = "127.0.0.1:%d" % self.listener.getsockname()[1]

    def accept(self):
        self.stream, _ = self.listener.accept()
        self.stream.settimeout(LONG)

    def hear(self, expected):
        got = b""
        while len(got) < len(expected.encode()):
            part = self.stream.recv(65536)
            assert part, "the end came after %r" % got
            got += part
        assert got == expected.encode(), got


def start(*options):
    peer = Peer()
    terminal = Terminal("connect", peer.at, *options)
    peer.accept()
    terminal.until("connected tcp ")
    terminal.until("-> ")
    terminal.until("> ")
    return terminal, peer


def a_half_typed_line_survives():
    terminal, peer = start()
    terminal.type("half a li")
    terminal.until("half a li")
    peer.stream.sendall(b"incoming\n")
    terminal.until("incoming")
    terminal.until("> half a li")
    terminal.type("ne\r")
    peer.hear("half a line\n")
    terminal.type("\x03")
    terminal.ended(130)


def history():
    terminal, peer = start()
    terminal.line("first")
    peer.hear("first\n")
    terminal.line("second")
    peer.hear("second\n")
    terminal.type("\x1b[A\x1b[A")
    terminal.until("first")
    terminal.type("\r")
    peer.hear("first\n")
    terminal.until("> ")
    terminal.type("\x04")
    assert peer.stream.recv(1) == b""
    peer.stream.close()
    terminal.ended(0)
    # The next program remembers.
    terminal, peer = start()
    terminal.type("\x1b[A\r")
    peer.hear("first\n")
    terminal.type("\x03")
    terminal.ended(130)


def ctrl_d_half_closes():
    terminal, peer = start()
    terminal.line("bye")
    peer.hear("bye\n")
    terminal.type("\x04")
    assert peer.stream.recv(1) == b""
    peer.stream.sendall(b"a late answer\n")
    terminal.until("a late answer")
    peer.stream.close()
    terminal.ended(0)


def ctrl_c_says_goodbye():
    terminal, peer = start()
    terminal.type("typed but not sent")
    terminal.until("not sent")
    terminal.type("\x03")
    assert peer.stream.recv(1) == b""
    terminal.ended(130)


def the_peer_ends_first():
    terminal, peer = start()
    peer.stream.sendall(b"goodbye\n")
    peer.stream.close()
    terminal.until("goodbye")
    # Nobody must press Enter.
    terminal.ended(0)


def the_last_words_are_seen():
    for _ in range(10):
        terminal, peer = start()
        for i in range(20):
            peer.stream.sendall(b"line %d\n" % i)
        peer.stream.sendall(b"the last words\n")
        peer.stream.close()
        terminal.until("the last words")
        terminal.ended(0)


def terminated():
    terminal, peer = start()
    terminal.process.send_signal(signal.SIGTERM)
    terminal.ended(143)


def escapes_do_not_drive_the_terminal():
    terminal, peer = start()
    peer.stream.sendall(b"\x1b]0;owned\x07\x1b[2Jbeware\n")
    before = terminal.until("beware")
    assert b"\x1b]0;" not in before and b"\x1b[2J" not in before, before
    terminal.type("\x03")
    terminal.ended(130)


def a_character_in_two_pieces():
    terminal, peer = start("--encoding", "gb2312")
    peer.stream.sendall("你".encode("gb2312")[:1])
    time.sleep(0.05)
    peer.stream.sendall("你".encode("gb2312")[1:] + b"\n")
    terminal.until("你")
    terminal.type("好\r")
    assert peer.stream.recv(16) == "好\n".encode("gb2312")
    terminal.type("\x03")
    terminal.ended(130)


def datagrams_are_lines():
    peer = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    peer.bind(("127.0.0.1", 0))
    peer.settimeout(LONG)
    terminal = Terminal("connect", "udp://127.0.0.1:%d" % peer.getsockname()[1])
    terminal.until("-> ")
    terminal.until("> ")
    terminal.line("hi")
    data, sender = peer.recvfrom(100)
    assert data == b"hi", data
    peer.sendto(b"one", sender)
    peer.sendto(b"two", sender)
    terminal.until("one\r\n")
    terminal.until("two\r\n")
    terminal.type("\x04")
    terminal.ended(0)


def commands_at_one_session():
    terminal, peer = start()
    terminal.type("/help\r")
    terminal.until("/close NAME")
    terminal.type("/list\r")
    terminal.until("* 127.0.0.1:")
    terminal.type("/quit\r")
    assert peer.stream.recv(1) == b""
    terminal.ended(0)


def a_line_that_no_frame_can_hold():
    terminal, peer = start("--frame", "fixed:4")
    # It is told, nothing of it leaves, and the conversation goes on.
    for line in ["toolong", "abc"]:
        terminal.type(line + "\r")
        terminal.until("not sent: ")
        terminal.until("4 bytes")
        terminal.until("> ")
    terminal.line("four")
    peer.hear("four")
    peer.stream.sendall(b"back")
    terminal.until("back")
    terminal.type("\x03")
    assert peer.stream.recv(1) == b""
    terminal.ended(130)


def served_console():
    terminal = Terminal("serve", "console", "tcp://127.0.0.1:0")
    terminal.until("listening tcp ")
    host, port = terminal.until("\r\n").decode().split(":")
    terminal.until("> ")
    terminal.type("half a li")
    terminal.until("half a li")
    client = socket.create_connection((host, int(port)))
    client.settimeout(LONG)
    # What the log says leaves the line as it was, too.
    terminal.until("open  #1")
    terminal.until("> half a li")
    client.sendall(b"anybody?\n")
    terminal.until("#1: anybody?")
    terminal.until("> half a li")
    terminal.line("ne")
    assert client.recv(16) == b"half a line\n"
    terminal.type("\x04")
    terminal.ended(0)
    assert client.recv(16) == b""


def served_console_interrupted():
    terminal = Terminal("serve", "console", "tcp://127.0.0.1:0")
    terminal.until("> ")
    terminal.type("words")
    terminal.until("words")
    terminal.type("\x03")
    terminal.ended(130)


def a_script_at_a_terminal():
    peer = Peer()
    terminal = Terminal("connect", peer.at, "--send", "hi", "--wait", "60s")
    peer.accept()
    peer.hear("hi\n")
    terminal.type("\x03")
    terminal.ended(130)


if __name__ == "__main__":
    globals()[sys.argv[1]]()
