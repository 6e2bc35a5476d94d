"""What strangers cannot do: hold connections, fill the log, try tokens, make a server stumble."""

from __future__ import annotations

import json
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx2
import pytest
from starlette.responses import PlainTextResponse
from starlette.testclient import TestClient

from stillwatch.share.hub.taxii import MEDIA
from stillwatch.share.net import gate as gates
from stillwatch.share.net.access import network_of
from stillwatch.share.net.guard import WRONG_TOKENS, Guard
from tests.share.hub.conftest import Exchange

HALF = b"GET /hub/health/ HTTP/1.1\r\nHost: x\r\nX-a: "


def free_port() -> int:
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return int(s.getsockname()[1])


def healthy(url: str) -> bool:
    try:
        return httpx2.get(url, timeout=5).status_code == 200
    except httpx2.HTTPError:
        return False


@pytest.mark.slow
@pytest.mark.parametrize(("program", "path"), [("hub", "/hub/health/"), ("key-holder", "/health/")])
def test_half_requests_keep_nobody_out_and_fill_no_log(tmp_path: Path, program: str, path: str) -> None:
    """A08: 250 connections that never end their head, with 200 file descriptors."""
    port = free_port()
    command = f"ulimit -n 200; exec {sys.executable} -m stillwatch {program} serve --port {port}"
    server = subprocess.Popen(["bash", "-c", command], cwd=tmp_path, stderr=subprocess.PIPE, text=True)
    url = f"http://127.0.0.1:{port}{path}"
    held: list[socket.socket] = []
    try:
        while not healthy(url):
            time.sleep(0.1)
        for _ in range(250):
            held.append(socket.create_connection(("127.0.0.1", port), timeout=20))
            held[-1].sendall(HALF)
        assert healthy(url)
        last, start = held[-1], time.monotonic()
        assert last.recv(1) == b""  # closed, with nothing said
        assert time.monotonic() - start < 12
        assert healthy(url)
    finally:
        server.send_signal(signal.SIGTERM)
        _, told = server.communicate(timeout=60)
        for s in held:
            s.close()
    assert server.returncode == 0
    assert len(told.splitlines()) < 60


def ended(s: socket.socket) -> float:
    """Seconds until the server closes; what it says before is read away."""
    s.settimeout(20)
    start = time.monotonic()
    try:
        while s.recv(65536):
            pass
    except ConnectionResetError:
        pass
    return time.monotonic() - start


def test_a_body_that_drips_is_cut_with_a_token_or_without(
    light: Exchange, gated: Callable[..., int], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(gates, "BODY_SECONDS", 0.5)
    port = gated(light.hub.app())
    for token in (light.labs["a"].token, "none"):
        s = socket.create_connection(("127.0.0.1", port))
        head = f"POST /hub/tokens/ HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {token}\r\nContent-Length: 1000000\r\n\r\n"
        s.sendall(head.encode() + b"{")
        dripping = threading.Event()

        def drip(s: socket.socket = s, dripping: threading.Event = dripping) -> None:
            try:
                while not dripping.wait(0.1):
                    s.sendall(b" ")
            except OSError:
                pass

        thread = threading.Thread(target=drip)
        thread.start()
        assert ended(s) < 5
        dripping.set()
        thread.join()
        s.close()
    # One that comes steadily is heard out, however long it takes.
    monkeypatch.setattr(gates, "BODY_BYTES", 100)
    s = socket.create_connection(("127.0.0.1", port))
    s.sendall(head.replace("none", light.labs["a"].token).replace("1000000", "3000").encode())
    for _ in range(15):
        s.sendall(b" " * 200)
        time.sleep(0.1)
    s.settimeout(10)
    assert b" 400 " in s.recv(1000)
    s.close()


def test_a_newcomer_takes_the_place_of_whoever_waited_longest_and_never_of_one_at_work(gated: Callable[..., int]) -> None:
    go = threading.Event()

    async def app(scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] == "http" and scope["path"] == "/slow":
            import anyio

            await anyio.to_thread.run_sync(go.wait, 20)
        if scope["type"] == "http":
            await PlainTextResponse("done")(scope, receive, send)

    port = gated(app, per_address=4)

    def opened(words: bytes) -> socket.socket:
        s = socket.create_connection(("127.0.0.1", port), timeout=20)
        s.sendall(words)
        return s

    working = opened(b"GET /slow HTTP/1.1\r\nHost: x\r\n\r\n")
    time.sleep(0.3)
    halves = [opened(HALF) for _ in range(3)]
    newcomer = opened(b"GET /x HTTP/1.1\r\nHost: x\r\n\r\n")
    assert b"200 OK" in newcomer.recv(1000)
    assert ended(halves[0]) < 5
    go.set()
    assert b"200 OK" in working.recv(1000)
    for s in (working, newcomer, *halves):
        s.close()
    # All places taken by requests at work: whoever comes is sent away, and is served once they are done.
    go.clear()
    busy = [opened(b"GET /slow HTTP/1.1\r\nHost: x\r\n\r\n") for _ in range(4)]
    time.sleep(0.5)
    assert ended(socket.create_connection(("127.0.0.1", port))) < 5
    go.set()
    for s in busy:
        assert b"200 OK" in s.recv(1000)
        s.close()
    time.sleep(0.3)
    last = opened(b"GET /x HTTP/1.1\r\nHost: x\r\n\r\n")
    assert b"200 OK" in last.recv(1000)
    last.close()


def test_a_head_must_be_whole_in_time_and_of_a_size(light: Exchange, gated: Callable[..., int], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gates, "HEAD_SECONDS", 0.5)
    port = gated(light.hub.app())
    s = socket.create_connection(("127.0.0.1", port))
    assert ended(s) < 5
    s = socket.create_connection(("127.0.0.1", port))
    s.sendall(b"GET /hub/health/ HTTP/1.1\r\nHost: x\r\n\r\n")
    assert b"200 OK" in s.recv(1000)
    s.sendall(b"GET")  # the second on a connection is waited for no longer than the first
    assert ended(s) < 5
    s = socket.create_connection(("127.0.0.1", port))
    s.sendall(b"nonsense\r\n\r\n")
    answer = s.recv(1000)
    assert b"400" in answer
    assert b"application/json" in answer
    s.close()


def test_wrong_tokens_are_counted_by_address_and_a_good_one_is_not_locked_out(light: Exchange) -> None:
    a = light.labs["a"]
    app = light.hub.app()
    with TestClient(app, client=("192.0.2.1", 1)) as t, TestClient(app, client=("192.0.2.2", 1)) as other:
        assert t.get("/api/", headers=a.headers).status_code == 200
        wrong = [t.get("/api/", headers={"Authorization": f"Bearer {n}"}).status_code for n in range(WRONG_TOKENS + 2)]
        assert wrong == [401] * WRONG_TOKENS + [429] * 2
        told = t.get("/api/", headers={"Authorization": "Bearer again"})
        assert (told.json()["http_status"], told.headers["content-type"]) == ("429", MEDIA)
        assert 1 <= int(told.headers["retry-after"]) <= 60
        assert t.get("/api/", headers=a.headers).status_code == 200
        # One that was not seen yet waits like everybody; from elsewhere it is heard.
        assert t.get("/api/", headers=light.labs["b"].headers).status_code == 429
        assert other.get("/api/", headers=light.labs["b"].headers).status_code == 200
        assert t.get("/api/", headers=light.labs["b"].headers).status_code == 200


def test_addresses_are_counted_as_their_owners_have_them() -> None:
    assert network_of("192.0.2.7") == network_of("::ffff:192.0.2.7") == "192.0.2.7"
    assert network_of("2001:db8::1") == network_of("2001:db8::ffff:1") != network_of("2001:db8:0:1::1")
    assert network_of("testclient") == "testclient"


def test_whatever_a_framework_says_is_said_in_json() -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        if scope["path"] == "/fault":
            raise RuntimeError("within")
        headers = {"Allow": "GET", "X-More": "1"}
        await PlainTextResponse("Method Not Allowed", 405, headers)(scope, receive, send)

    t = TestClient(Guard(app))
    answer = t.get("/")
    assert (answer.status_code, answer.headers["allow"]) == (405, "GET")
    assert answer.json() == {"title": "Method not allowed", "http_status": "405"}
    answer = t.get("/fault")
    assert answer.json() == {"title": "Error", "http_status": "500"}


@pytest.mark.parametrize(
    "body",
    [
        rb'{"objects":[{"id":"campaign--\ud800"}]}', rb'{"objects":[{"\udfff":1}]}', b'{"objects":[{"id":"\xed\xa0\x80"}]}', rb'{"tags":["\u0000"]}',
        rb'{"tags":[],"tags":["x"]}', b"\xff\xfe{\x00}\x00", b'{"objects":[NaN]}', b"[" * 100_000, b"",
    ],
)  # fmt: skip
@pytest.mark.parametrize("path", ["/api/collections/signals/objects/", "/hub/tokens/", "/hub/tokens/withdraw/"])
def test_strings_that_cannot_be_kept_are_refused_where_they_are_read(exchange: Exchange, body: bytes, path: str) -> None:
    """A09."""
    with exchange.client() as t:
        answer = t.post(path, content=body, headers=exchange.labs["a"].headers)
        assert (answer.status_code, answer.json()["http_status"]) == (400, "400")


def test_an_emoji_in_escapes_is_a_string_like_any(light: Exchange) -> None:
    with light.client() as t:
        answer = t.post("/hub/tokens/withdraw/", content=rb'{"tags":["\ud83d\ude00"]}', headers=light.labs["a"].headers)
        assert answer.status_code == 422  # no tag, but JSON


def test_health_and_readers_wait_for_no_writer(exchange: Exchange, served: Callable[[Any], str]) -> None:
    """Twenty writers wait for one that holds the lock; a read, and a member's first of the day, go on."""
    url = served(exchange.hub.app())
    a = exchange.labs["a"]
    with exchange.db.write() as c:
        exchange.db.record(c, "held", {}, 1)
        waiting = [
            threading.Thread(
                target=httpx2.post,
                args=(url + "/hub/tokens/withdraw/",),
                kwargs={"json": {"tags": []}, "headers": a.headers, "timeout": 60},
            )
            for _ in range(50)
        ]
        for w in waiting:
            w.start()
        time.sleep(1)
        start = time.monotonic()
        assert httpx2.get(url + "/hub/health/", timeout=10).json()["status"] == "ok"
        assert httpx2.get(url + "/hub/keys/", headers=exchange.labs["b"].headers, timeout=10).status_code == 200
        assert time.monotonic() - start < 5
    for w in waiting:
        w.join(60)
    assert json.loads(httpx2.get(url + "/hub/health/").text)["status"] == "ok"
