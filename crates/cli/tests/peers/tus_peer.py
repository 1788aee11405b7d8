#!/usr/bin/env python3
"""Python's clients of a folder that takes files: tuspy, and requests.

    tus_peer.py tuspy    URL FILE   uploads FILE with checksums, piece by piece, with a break in the middle
    tus_peer.py requests URL FILE   puts FILE, gets it whole and in a part, asks for its hash
    tus_peer.py protocol URL        what tus 1.0 says of wrong requests
"""

import base64
import hashlib
import sys

import requests
from tusclient import client as tus

VERSION = {"Tus-Resumable": "1.0.0"}
BODY = {"Content-Type": "application/offset+octet-stream"}


def tuspy(url, file):
    client = tus.TusClient(url)
    first = client.uploader(file, metadata={"filename": "by tuspy.bin"}, chunk_size=700_000, upload_checksum=True)
    first.upload_chunk()
    first.upload_chunk()
    # Another run, which knows nothing but where it was.
    second = client.uploader(file, url=first.url, chunk_size=1_000_000, upload_checksum=True)
    assert second.offset == 1_400_000, second.offset
    second.upload()


def with_requests(url, file):
    with open(file, "rb") as data:
        answer = requests.put(url + "by requests.bin", data=data)
    assert answer.status_code == 201, answer
    assert answer.headers["Location"] == "/by%20requests.bin", answer.headers
    whole = open(file, "rb").read()
    got = requests.get(url + "by requests.bin", headers={"Want-Repr-Digest": "sha-256=1"})
    assert got.content == whole
    digest = base64.b64encode(hashlib.sha256(whole).digest()).decode()
    assert got.headers["Repr-Digest"] == f"sha-256=:{digest}:", got.headers
    part = requests.get(url + "by requests.bin", headers={"Range": "bytes=-5", "If-Range": got.headers["ETag"]})
    assert part.content == whole[-5:] or got.headers["ETag"].startswith("W/"), part
    listing = requests.get(url, headers={"Accept": "application/json"}).json()
    assert "by requests.bin" in [entry["name"] for entry in listing["entries"]], listing


def protocol(url):
    def ask(method, to, expected, body=b"", **headers):
        headers = {name.replace("_", "-"): value for name, value in headers.items()}
        answer = requests.request(method, to, data=body, headers={**VERSION, **headers})
        assert answer.status_code == expected, f"{method} {to} {headers}: {answer.status_code} {answer.text}"
        assert answer.headers.get("Tus-Resumable") == "1.0.0", answer.headers
        return answer

    def where(answer):
        return requests.compat.urljoin(url, answer.headers["Location"])

    offered = ask("OPTIONS", url, 204).headers
    assert offered["Tus-Version"] == "1.0.0" and "sha1" in offered["Tus-Checksum-Algorithm"], offered
    assert set(offered["Tus-Extension"].split(",")) >= {"creation", "termination", "checksum", "expiration"}, offered
    # Wrong versions, and requests that lack something.
    answer = ask("POST", url, 412, Tus_Resumable="0.2.2", Upload_Length="5")
    assert answer.headers["Tus-Version"] == "1.0.0"
    ask("POST", url, 400)
    ask("POST", url, 400, Upload_Length="-1")
    ask("POST", url, 400, Upload_Length="five")
    # With the first bytes, by tus's extension creation-with-upload.
    begun = ask("POST", url, 201, b"he", Upload_Length="5", **{**BODY, "Upload-Metadata": "filename aGVsbG8="})
    assert begun.headers["Upload-Offset"] == "2" and begun.headers["Upload-Expires"], begun.headers
    at = where(begun)
    told = ask("HEAD", at, 200).headers
    assert (told["Upload-Offset"], told["Upload-Length"]) == ("2", "5"), told
    assert told["Cache-Control"] == "no-store" and told["Upload-Metadata"] == "filename aGVsbG8=", told
    ask("PATCH", at, 409, b"llo", Upload_Offset="0", **BODY)
    ask("PATCH", at, 409, b"llo", Upload_Offset="5", **BODY)
    ask("PATCH", at, 400, b"llo", **BODY)
    ask("PATCH", at, 415, b"llo", Upload_Offset="2")
    ask("PATCH", at, 413, b"llo and more", Upload_Offset="2", **BODY)
    ask("PATCH", at, 400, b"llo", Upload_Offset="2", Upload_Checksum="md5 AAAA", **BODY)
    wrong = base64.b64encode(hashlib.sha1(b"LLO").digest()).decode()
    ask("PATCH", at, 460, b"llo", Upload_Offset="2", Upload_Checksum=f"sha1 {wrong}", **BODY)
    assert ask("HEAD", at, 200).headers["Upload-Offset"] == "2", "what was wrong is not kept"
    right = base64.b64encode(hashlib.sha1(b"llo").digest()).decode()
    # A proxy may let through nothing but POST.
    more = {"X-HTTP-Method-Override": "PATCH", "Upload-Checksum": f"sha1 {right}", **BODY}
    done = ask("POST", at, 204, b"llo", Upload_Offset="2", **more)
    assert done.headers["Upload-Offset"] == "5" and done.headers["Content-Location"] == "/hello", done.headers
    assert requests.get(url + "hello").text == "hello"
    # A name that is taken gets a number, and nothing is overwritten.
    again = ask("POST", url, 201, Upload_Length="0", **{"Upload-Metadata": "filename aGVsbG8="})
    assert again.headers["Content-Location"] == "/hello%20%281%29", again.headers
    assert requests.get(url + "hello").text == "hello"
    # What is given up is gone.
    begun = where(ask("POST", url, 201, Upload_Length="5"))
    ask("DELETE", begun, 204)
    ask("HEAD", begun, 410)
    ask("PATCH", begun, 410, b"hello", Upload_Offset="0", **BODY)
    ask("HEAD", url + "hello?upload=nothing", 404)
    ask("HEAD", url + "hello?upload=0123.5", 404)
    ask("POST", url, 400, Upload_Length="5", **{"Upload-Metadata": "filename Li4vLi4vZXRjL3g="})  # ../../etc/x


if __name__ == "__main__":
    does = {"tuspy": tuspy, "requests": with_requests, "protocol": protocol}
    does[sys.argv[1]](*sys.argv[2:])
    print("all is well")
