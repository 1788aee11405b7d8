#!/usr/bin/env python3
"""Chromium over HTTP/3, with our own certificate trusted by its key.

    http3.py HOST:PORT

HOST:PORT is a `sockeye serve upper`. Chromium speaks QUIC to who has no certificate of a known authority only if it is told
to trust the key. Prints `all is well`, or what is not.
"""

import base64
import hashlib
import ssl
import sys

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from selenium import webdriver

from page import options, program

ASK = """
const [done] = arguments;
fetch('/?asked', {method: 'PUT', body: 'hello'}).then((answer) => answer.text()).then((text) => {
    const entry = performance.getEntriesByType('resource').find((entry) => entry.name.endsWith('?asked'));
    done([text, entry.nextHopProtocol]);
}, (error) => done([String(error), '']));
"""
PAGE = "return performance.getEntriesByType('navigation')[0].nextHopProtocol"


def key_hash(host, port):
    certificate = x509.load_pem_x509_certificate(ssl.get_server_certificate((host, port)).encode())
    key = certificate.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    return base64.b64encode(hashlib.sha256(key).digest()).decode()


def main(at):
    host, port = at.rsplit(":", 1)
    chosen = options()
    chosen.add_argument(f"--origin-to-force-quic-on={at}")
    chosen.add_argument(f"--ignore-certificate-errors-spki-list={key_hash(host, int(port))}")
    driver = webdriver.Chrome(options=chosen, service=webdriver.ChromeService(program("chromedriver")))
    try:
        driver.set_script_timeout(45)
        driver.get(f"https://{at}/")
        got = [driver.execute_script(PAGE), *driver.execute_async_script(ASK)]
    finally:
        driver.quit()
    if got != ["h3", "HELLO", "h3"]:
        sys.exit(f"not over HTTP/3, or not what was asked for: {got}")
    print("all is well")


main(sys.argv[1])
