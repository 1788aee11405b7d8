"""Peers in TLS from Python's library, which is OpenSSL's.

`secure.py NAME [ARGUMENT …]`. A server prints `listening tls ADDRESS` on standard error.
"""
import socket
import ssl
import sys
import threading


def client_context(certificate=None):
    context = ssl.create_default_context(cafile=certificate)
    if certificate is None:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    return context


def through(host, port, certificate):
    """Standard input through an echo server, verified, sending and receiving at once."""
    data = sys.stdin.buffer.read()
    context = client_context(certificate)
    with socket.create_connection((host, int(port)), 10) as plain:
        with context.wrap_socket(plain, server_hostname="localhost") as tls:
            sending = threading.Thread(target=tls.sendall, args=(data,))
            sending.start()
            answer = b""
            while len(answer) < len(data):
                part = tls.recv(65536)
                if not part:
                    break
                answer += part
            sending.join()
            # Sends close_notify, and waits for the other's.
            tls.unwrap()
    sys.stdout.buffer.write(answer)


def cut(host, port):
    """Says something and closes TCP without a word of TLS."""
    with socket.create_connection((host, int(port)), 10) as plain:
        tls = client_context().wrap_socket(plain, server_hostname="localhost")
        tls.sendall(b"half a mess")
        print(tls.recv(100))
        tls.detach()
        # The descriptor outlives the TLS object: closing it sends FIN and nothing else.


def by_name(host, port, *names):
    """Prints what is agreed on by ALPN."""
    context = client_context()
    context.set_alpn_protocols(names)
    with socket.create_connection((host, int(port)), 10) as plain:
        with context.wrap_socket(plain, server_hostname="localhost") as tls:
            print(tls.selected_alpn_protocol())


def server(certificate, key, answer):
    """Serves each client by `answer`, a thread for each."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)

    def serve(plain):
        try:
            answer(context.wrap_socket(plain, server_side=True))
        except OSError as error:
            print("failed", error, file=sys.stderr, flush=True)

    with socket.create_server(("127.0.0.1", 0)) as listener:
        print("listening tls %s:%d" % listener.getsockname(), file=sys.stderr, flush=True)
        while True:
            plain, _ = listener.accept()
            threading.Thread(target=serve, args=(plain,), daemon=True).start()


def sum_server(certificate, key):
    """Hears everything up to close_notify, then says how much it was, and closes in good order."""

    def answer(tls):
        tls.suppress_ragged_eofs = False
        n = 0
        while data := tls.recv(65536):
            n += len(data)
        tls.sendall(b"%d bytes\n" % n)
        tls.unwrap().close()

    server(certificate, key, answer)


def echo_server(certificate, key):
    def answer(tls):
        while data := tls.recv(65536):
            tls.sendall(data)
        tls.unwrap().close()

    server(certificate, key, answer)


def cutting_server(certificate, key):
    """Says something, and closes TCP without a word of TLS."""

    def answer(tls):
        tls.sendall(b"\x00\x00\x00\x09half a me")
        plain = socket.socket(fileno=tls.detach())
        plain.shutdown(socket.SHUT_WR)
        while plain.recv(65536):
            pass
        plain.close()

    server(certificate, key, answer)


def http_server(certificate, key):
    """Answers that end with their connection: on /whole by close_notify, on anything else by TCP alone."""

    def answer(tls):
        asked = b""
        while b"\r\n\r\n" not in asked:
            asked += tls.recv(65536)
        tls.sendall(b"HTTP/1.0 200 OK\r\n\r\nan answer")
        if asked.startswith(b"GET /whole "):
            tls.unwrap().close()
        else:
            socket.socket(fileno=tls.detach()).close()

    server(certificate, key, answer)


if __name__ == "__main__":
    globals()[sys.argv[1]](*sys.argv[2:])
