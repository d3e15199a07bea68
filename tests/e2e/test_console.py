"""Proves the console as people use it: the real process, over HTTP, with a real broker."""

import asyncio
import json
import socket
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from contextlib import ExitStack, asynccontextmanager, suppress
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlencode

import httpx
import pytest

from service.commands.console.filters import letter_address
from tests.support.amqp import Upstream, next_of, wait_until
from tests.support.broker import Broker
from tests.support.commands import Commands
from tests.support.console import Browser, ConsoleProcess, settled
from tests.support.letters import INTAKE_QUEUE, Letters, letter
from tests.support.patience import Deadline, patient
from tests.support.ports import free_port
from tests.support.processes import ROOT
from tests.support.raw import RawUpstream
from tests.support.wild import HOSTILE

STRANGE = ("timestamp at the end", "binary correlation id", "deep table", "a name twice")
Start = Callable[..., ConsoleProcess]
PAGES = ("/", "/lanes", "/lanes/128", "/dead-letters", "/parked", "/find", "/history")


@pytest.fixture
def start(broker: Broker, vhost: str) -> Iterator[Start]:
    """Lend what starts a console."""
    with ExitStack() as stack:

        def started(settings: Mapping[str, str] | None = None, url: str = "") -> ConsoleProcess:
            env = {"IMPORTER_RABBIT__URL": url or broker.url(vhost), **(settings or {})}
            return stack.enter_context(ConsoleProcess(env)).wait_ready()

        yield started


@pytest.fixture
def console(start: Start, letters: Letters) -> ConsoleProcess:
    """Lend a console, with queues and without an importer."""
    _ = letters
    return start()


@pytest.fixture
async def browser(console: ConsoleProcess) -> AsyncIterator[Browser]:
    """Lend a browser at the console."""
    async with Browser(console) as opened:
        yield opened


async def intake(broker: Broker, vhost: str, count: int) -> list[dict[str, object]]:
    """Take what was sent back to the intake."""
    async with Upstream(broker.url(vhost)) as upstream:
        found = await upstream.drain(INTAKE_QUEUE, count)
        assert 0 == await upstream.ready(INTAKE_QUEUE)
    return [json.loads(message.body) for message in found]


def logs(console: ConsoleProcess) -> list[dict[str, Any]]:
    """Return the console's log lines."""
    return [json.loads(line) for line in console.stderr().splitlines() if line[:1] == "{"]


@asynccontextmanager
async def serving(status: Mapping[str, object]) -> AsyncIterator[str]:
    """Answer as an importer does that says this; yields the address."""
    body = json.dumps(status).encode()
    head = f"HTTP/1.1 200 OK\r\nContent-Length: {len(body)}\r\nConnection: close\r\n\r\n"

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(head.encode() + body)
        await writer.drain()
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    async with server:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/status"


async def test_every_page_can_be_read_without_an_importer(browser: Browser) -> None:
    """None is blank, and each names what is missing; each is fit for a screen reader."""
    for address in PAGES:
        page = await browser.get(address)
        assert [] == page.flaws(), address
        assert 100 < len(page.text), address


async def test_letters_are_shown_in_groups_and_one_by_one(
    letters: Letters, browser: Browser
) -> None:
    """The values of fields stand on the letter's own page, and nowhere else."""
    blank, deal = letter(" "), letter("c/ü", code="X", entity_type=128)
    await letters.put(letter("a"), blank, deal)
    page = await settled(browser, "/dead-letters")
    assert [] == page.flaws()
    assert "3 letters looked at" in page.text
    assert "“ ”" in page.text
    assert "/dead-letters?kind=rejected&code=X" in page.links
    assert "comments" not in page.text
    page = await browser.get("/dead-letters/c%2F%C3%BC")
    assert [] == page.flaws()
    assert "who must act" in page.text.lower()
    assert "comments" in page.text
    page = await settled(browser, "/dead-letters/%20")
    [*_, form] = [each["fields"] for each in page.forms if each["action"] == "/dead-letter"]
    page = await browser.send(page, "/dead-letter", {"action": "send back", "who": "Ann"})
    assert "1 letter sent back" in page.text
    # An id that is white space is an id: it never means all letters.
    assert {"id": [" "], "type": ["2"]} == parse_qs(form["which"])
    assert 2 == await letters.ready()


async def test_a_letter_is_mended_and_sent_back(
    broker: Broker, vhost: str, letters: Letters, browser: Browser
) -> None:
    """Fields that are changed or added go with it; the others keep their bytes."""
    body = b'{"entityTypeId":2,"id":"a","fields":{"price":1.10,"title":"old","n":"7"}}'
    await letters.put(letter("a", body=body), letter("b"))
    page = await settled(browser, "/dead-letters/a")
    filled = {"value1": "new", "new_name0": "flag", "new_value0": "true", "who": "Ann Lee"}
    page = await browser.send(page, "/dead-letter", {"action": "send back", **filled})
    assert "1 letter sent back" in page.text
    async with Upstream(broker.url(vhost)) as upstream:
        [message] = await upstream.drain(INTAKE_QUEUE, 1)
    assert b'"price":1.10' in message.body
    assert {"price": 1.1, "title": "new", "n": "7", "flag": True} == json.loads(message.body)[
        "fields"
    ]
    assert 1 == await letters.ready()
    page = await browser.get("/history")
    assert "Ann Lee" in page.text


async def test_an_event_whose_id_has_line_ends_has_its_own_page(
    letters: Letters, browser: Browser
) -> None:
    """It is not that of another event, whose id begins alike."""
    ids = ("ends", "ends\n", "\n", "two\nlines")
    await letters.put(*map(letter, ids))
    for each in ids:
        page = await settled(browser, letter_address(each))
        [form] = [form["fields"] for form in page.forms if form["action"] == "/dead-letter"]
        assert {"id": [each], "type": ["2"]} == parse_qs(form["which"])


async def test_white_space_is_a_part_of_an_id(letters: Letters, browser: Browser) -> None:
    """An address means it; only where no event has that id, it was perhaps pasted along."""
    await letters.put(letter(" spaced "), letter("spaced"), letter("other"))
    for given, shown in ((" spaced ", " spaced "), ("spaced", "spaced"), (" other\t", "other")):
        page = await settled(browser, f"/dead-letters?{urlencode({'id': given})}")
        assert "1 match" in page.text
        assert letter_address(shown) in page.links
        page = await settled(browser, f"/find?{urlencode({'id': given})}")
        assert letter_address(shown) in page.links


async def test_a_letter_of_unreadable_type_is_sent_back_by_itself(
    broker: Broker, vhost: str, letters: Letters, browser: Browser
) -> None:
    """Another letter of its id, of a type that can be read, stays; a wrong form does nothing."""
    typeless = b'{"id":"twin","fields":{"title":"x"}}'
    malformed = letter("twin", kind="malformed", code="WRONG_SHAPE", body=typeless)
    await letters.put(letter("twin"), malformed)
    page = await settled(browser, "/dead-letters/twin")
    action = {"action": "send back", "who": "Ann"}
    await browser.send(page, "/dead-letter", {**action, "which": "id=twin&type=x"}, 400)
    await browser.send(page, "/dead-letter", {**action, "new_name0": "n", "new_value0": "1"})
    assert "1 letter stayed" in (await settled(browser, "/tasks/1")).text
    await browser.send(page, "/dead-letter", action)
    assert "1 letter sent back" in (await settled(browser, "/tasks/2")).text
    assert [json.loads(typeless)] == await intake(broker, vhost, 1)
    page = await settled(browser, "/dead-letters?type=unknown")
    assert "1 letter looked at" in page.text
    assert "0 match" in page.text


async def test_many_are_sent_back_after_a_plan(
    broker: Broker, vhost: str, letters: Letters, browser: Browser
) -> None:
    """Nothing moves before somebody says who he is and why; the outcome can be read again."""
    await letters.put(letter("a"), letter("b"), letter("c", kind="malformed", code="WRONG_SHAPE"))
    page = await settled(browser, "/dead-letters")
    page = await browser.send(page, "/tasks", {"action": "send back"})
    assert "What happens to them" in page.text
    assert 3 == await letters.ready()
    page = await browser.send(page, "/tasks/1/start", {"who": "Ann"}, 400)
    page = await browser.get("/tasks/1")
    page = await browser.send(
        page, "/tasks/1/start", {"who": "Ann", "reason": "the field is back"}
    )
    page = await settled(browser, "/tasks/1")
    assert "2 letters sent back, 1 letter stayed" in page.text
    assert "the field is back" in page.text
    assert {"a", "b"} == {each["id"] for each in await intake(broker, vhost, 2)}


async def test_a_task_is_stopped_in_the_midst(
    letters: Letters, browser: Browser, console: ConsoleProcess
) -> None:
    """What went has gone, the rest stays; the outcome is there after a reload, for everybody."""
    await letters.put(*(letter(f"e-{n}") for n in range(1000)))
    page = await settled(browser, "/dead-letters")
    page = await browser.send(page, "/tasks", {"action": "send back"})
    page = await settled(browser, "/tasks/1")
    why = {"who": "Ann", "reason": "the field is back"}
    starting = asyncio.create_task(browser.send(page, "/tasks/1/start", why))
    async with Browser(console) as other:
        while not (page := await other.get("/tasks/1")).forms[-1]["action"].endswith("/stop"):
            assert not starting.done()
        await other.send(page, "/tasks/1/stop")
        await starting
        page = await settled(other, "/tasks/1")
        left = await letters.ready()
        assert 0 < left < 1000
        told = f"{1000 - left} letters sent back; stopped, the rest stays where it is"
        for each in (browser, other):
            assert told in (await each.get("/tasks/1")).text
            assert told in (await each.get("/history")).text
    assert 1000 - left == await letters.ready(INTAKE_QUEUE)


async def test_letters_are_removed_for_good_after_a_plan(
    letters: Letters, browser: Browser, console: ConsoleProcess
) -> None:
    """Only those that the filters select; the log has who, what, which, why, and the outcome."""
    await letters.put(letter("a"), letter("b"), letter("c", code="X"))
    page = await settled(browser, "/dead-letters?code=X")
    page = await browser.send(page, "/tasks", {"action": "remove"})
    assert "cannot be undone" in page.text
    await browser.send(page, "/tasks/1/start", {"who": "Ann", "reason": "a test of ours"})
    page = await settled(browser, "/tasks/1")
    assert "1 letter removed" in page.text
    assert ["a", "b"] == await letters.ids()
    [record] = [line for line in logs(console) if line["event"] == "operator acted"]
    told = {name: record[name] for name in ("who", "what", "which", "reason", "outcome")}
    assert {
        "who": "Ann",
        "what": "remove",
        "which": "code X",
        "reason": "a test of ours",
        "outcome": "1 letter removed",
    } == told


# ---- who may come in ----

SECRET = "open sesame, please"


async def test_a_password_lets_in_and_a_cookie_lets_stay(start: Start) -> None:
    """Without it every page is the login; scripts and other sites cannot reach the cookie."""
    console = start({"IMPORTER_CONSOLE__PASSWORD": SECRET})
    async with Browser(console) as browser:
        for address in (*PAGES, "/tasks/1", "/nothing"):
            assert "Log in" in (await browser.get(address)).title, address
        page = await browser.get("/login")
        assert [] == page.flaws()
        assert 403 == (await browser.client.post("/tasks")).status_code
        page = await browser.send(page, "/login", {"who": "Ann", "password": "wrong"}, 403)
        assert "not the password" in page.text
        page = await browser.send(
            page, "/login", {"who": "Ann", "password": SECRET, "next": "/history"}
        )
        assert browser.last is not None
        assert "/history" == browser.last.url.path
        [*_, cookie] = [
            each for step in browser.last.history for each in step.headers.get_list("set-cookie")
        ]
        for part in ("HttpOnly", "SameSite=Strict", "Max-Age=", "Path=/"):
            assert part in cookie
        copied = {"Cookie": cookie.partition(";")[0]}
        page = await browser.send(page, "/leave")
        assert "Log in" in page.title
        browser.client.cookies.clear()
        assert "Log in" in (await browser.client.get("/history", headers=copied)).text
    assert SECRET not in console.stderr()


async def test_passwords_cannot_be_tried_without_end(start: Start) -> None:
    """After ten wrong ones even the right one has to wait."""
    console = start({"IMPORTER_CONSOLE__PASSWORD": SECRET})
    async with Browser(console) as browser:
        page = await browser.get("/login")
        token = page.forms[-1]["fields"]["token"]
        tries = [
            browser.client.post("/login", data={"token": token, "password": f"{n}", "who": "x"})
            for n in range(12)
        ]
        codes = [answer.status_code for answer in await asyncio.gather(*tries)]
        assert {403, 429} == set(codes)
        late = await browser.client.post("/login", data={"token": token, "password": SECRET})
        huge = await browser.client.post("/login", data={"token": token, "password": "x" * 50_000})
    assert 413 == huge.status_code
    assert 429 == late.status_code
    assert 0 < int(late.headers["retry-after"]) <= 30


async def test_silent_connections_keep_nobody_out(console: ConsoleProcess) -> None:
    """Whoever opens many and asks nothing loses the oldest of them."""
    with ExitStack() as stack:
        address = ("127.0.0.1", console.port)
        silent = [stack.enter_context(socket.create_connection(address, 10)) for _ in range(120)]
        for each in silent:
            with suppress(ConnectionError):
                each.sendall(b"GET / HTTP/1.1\r\n")
        async with Browser(console) as browser:
            assert "alive" in (await browser.client.get("/livez")).text
        assert await asyncio.to_thread(_is_closed, silent[0])


def _is_closed(connection: socket.socket) -> bool:
    """Tell whether the other side has closed it, with or without reading what was sent."""
    try:
        return connection.recv(1) == b""
    except ConnectionResetError:
        return True


async def test_other_sites_cannot_use_the_console(browser: Browser, letters: Letters) -> None:
    """Neither by a name of their own for our address, nor by a form of their own."""
    await letters.put(letter("a"))
    page = await settled(browser, "/dead-letters")
    [form] = [each for each in page.forms if each["action"] == "/tasks"]
    data = {**form["fields"], "action": "remove"}
    for name, value, code in (
        ("Host", "evil.example", 421),
        ("Host", "127.0.0.1.evil.example:80", 421),
        ("Host", "10.0.0.1", 421),
        ("Origin", "http://evil.example", 403),
        ("Origin", "null", 403),
        ("Sec-Fetch-Site", "cross-site", 403),
    ):
        answer = await browser.client.post("/tasks", data=data, headers={name: value})
        assert code == answer.status_code, value
    assert 404 == (await browser.client.get("/tasks/1")).status_code


async def test_a_form_needs_the_token_of_its_own_session(
    console: ConsoleProcess, letters: Letters
) -> None:
    """None, a made-up one, or that of another browser does nothing, and says what to do."""
    await letters.put(letter("a"))
    async with Browser(console) as one, Browser(console) as other:
        mine, theirs = await one.get("/dead-letters"), await other.get("/dead-letters")
        assert "token" in mine.forms[-1]["fields"]
        for token in ("", "0" * 64, theirs.forms[-1]["fields"]["token"]):
            answer = await one.client.post("/tasks", data={"token": token, "action": "remove"})
            assert 403 == answer.status_code
            assert "Load the page again" in answer.text
        json_form = await one.client.post("/tasks", json={"action": "remove"})
        assert 415 == json_form.status_code
        huge = await one.client.post("/tasks", data={"token": "x" * 9_000_000})
        assert 413 == huge.status_code
        assert 405 == (await one.client.delete("/dead-letters/a")).status_code
    assert 1 == await letters.ready()


async def test_every_answer_tells_browsers_what_they_may_not(browser: Browser) -> None:
    """Pages, files, refusals: no foreign script, no frame, no copy kept, no referrer."""
    endless = [f"/{name}/{'9' * 5_000}" for name in ("lanes", "tasks")]
    for address in ("/", "/static/console.css", "/nothing", "/livez", *endless):
        answer = await browser.client.get(address)
        assert answer.status_code in {200, 404}
        headers = answer.headers
        assert "default-src 'none'" in headers["content-security-policy"]
        assert "unsafe" not in headers["content-security-policy"]
        assert "frame-ancestors 'none'" in headers["content-security-policy"]
        assert "no-store" == headers["cache-control"]
        assert "same-origin" == headers["referrer-policy"]
        assert "nosniff" == headers["x-content-type-options"]
        assert "server" not in headers
    script = await browser.client.get("/static/console.js")
    assert 20_000 > len(script.content)


async def test_what_is_hostile_in_a_letter_stays_text(
    browser: Browser, letters: Letters, console: ConsoleProcess
) -> None:
    """Scripts, escapes of terminals, line ends of headers, 2 MB: shown, and nothing else."""
    hostile = "<script>alert(1)</script>\x1b[31m\r\nSet-Cookie: a=b\u202e'\"&../.."
    body = json.dumps(
        {"entityTypeId": 2, "id": hostile, "fields": {hostile: hostile, "big": "x" * 1_900_000}}
    )
    told = {"import_error_message": hostile, "import_error_code": "<b>X"}
    await letters.put(letter(hostile, body=body.encode(), headers=told))
    page = await settled(browser, "/dead-letters")
    assert browser.last is not None
    assert "<script>alert" not in browser.last.text
    assert "<b>X" not in browser.last.text
    [own] = [link for link in page.links if link.startswith(("/dead-letters/", "/dead-letter?"))]
    page = await browser.get(own)
    assert [] == page.flaws()
    text = browser.last.text
    assert "alert(1)" in text
    assert not [sign for sign in ("<script>alert", "\x1b", "\u202e") if sign in text]
    assert "a" not in browser.client.cookies
    assert 2_000_000 > len(text)
    told = {"who": hostile, "reason": hostile * 5000, "new_name0": "n" * 50_000}
    page = await browser.send(page, "/dead-letter", {"action": "send back", **told})
    assert "1 letter sent back" in page.text
    await browser.get("/history")
    assert 10_000 > len(browser.last.text)
    assert 20_000 > len(console.stderr())
    assert "\x1b" not in console.stderr()


async def test_letters_with_strange_properties_have_pages(
    browser: Browser, letters: Letters, broker: Broker, vhost: str
) -> None:
    """Times out of range, text that is no UTF-8, tables nested deep."""
    assert 0 == await letters.ready()
    with RawUpstream(broker.url(vhost)) as upstream:
        for number, name in enumerate(STRANGE):
            odd = b'{"id":"odd %d","entityTypeId":2,"fields":{"a":1}}' % number
            upstream.publish(odd, HOSTILE[name], exchange=b"crm.items.dlx", key=b"item.\xe4")
    for number in range(len(STRANGE)):
        page = await settled(browser, f"/dead-letters/odd%20{number}")
        assert "undelivered" in page.text
        assert [] == page.flaws()


# ---- what may be away ----


async def test_a_broker_that_is_away_is_told_of_and_comes_back(start: Start) -> None:
    """Every page says so; nothing hangs, and the process ends at once when it is told to."""
    console = start(url=f"amqp://guest:guest@127.0.0.1:{free_port()}/")
    async with Browser(console) as browser:
        for address in PAGES:
            assert [] == (await browser.get(address)).flaws()
        page = await settled(browser, "/dead-letters")
        assert "cannot be read" in page.text
        assert "There are no dead letters" not in page.text
        page = await browser.get("/")
        assert "Neither the importer nor the broker answers" in page.text
    console.terminate()
    assert 0 == await asyncio.to_thread(console.wait)
    assert "guest" not in console.stderr()


STATUS: Mapping[str, object] = {
    "version": "9.9",
    "active": True,
    "state": "flowing",
    "reason": None,
    "next_try_seconds": None,
    "held": {"total": 3, "in_flight": 2, "waiting": 1, "settling": 0},
    "oldest_held_seconds": 1.5,
    "outcomes": {"imported": 10, "duplicate": 0, "failed": 1, "malformed": 0},
    "bucket": {"limit": 46, "level": 2.0, "share": 1.0, "wait_seconds": 0.0},
    "budget": {"import": {"limit_seconds": 420, "used_seconds": 42.0, "wait_seconds": 0.0}},
    "item_cost_seconds": {"128": 0.2},
    "lanes": [],
    "parked": [],
    "last": [
        {
            "id": "e-1",
            "entity_type_id": 128,
            "outcome": "failed",
            "code": "X",
            "age_seconds": 1.0,
            "at": "2026-01-01T00:00:00+00:00",
        }
    ],
}
LANE = {
    "entity_type": 128,
    "state": "closed",
    "reason": "scope",
    "since": "2026-01-01T00:00:00+00:00",
    "next_try_seconds": 12.0,
    "parked": 17,
}
PARKED = {"queue": "crm.items.parked.128", "entity_type": 128, "reason": "lane", "messages": 17}


async def test_what_the_importer_says_is_shown(start: Start, letters: Letters) -> None:
    """A closed lane, what is parked, the limits, the last events; each page as far as it goes."""
    _ = letters
    shows = {
        "/": ("of type 128 wait", "seconds of work: import", "The last 1 events"),
        "/lanes": ("denies the right", "12 s"),
        "/lanes/128": ("It is closed", "17 events wait", "portal's administrator", "e-1"),
        "/lanes/2": ("It is open",),
        # Labels of metrics that an alert may put into its link.
        "/lanes/all": ("the whole intake", "denies the right"),
        "/lanes/other": ("beyond the first fifty", "denies the right"),
        "/lanes/unknown": ("unreadable events have no lane",),
        "/parked": ("crm.items.parked.128", "its lane"),
    }
    async with (
        serving({**STATUS, "lanes": [LANE], "parked": [PARKED]}) as url,
        Browser(start({"IMPORTER_CONSOLE__STATUS_URL": url})) as browser,
    ):
        for address, says in shows.items():
            page = await browser.get(address)
            assert [] == [each for each in says if each not in page.text]
            assert [] == page.flaws()


@pytest.mark.parametrize(
    ("told", "says"),
    [
        ({"state": "paused", "reason": "credentials", "next_try_seconds": 75.0}, "try in 75 s"),
        (
            {
                "lanes": 3,
                "held": [],
                "budget": "x",
                "last": [1, {"id": ["a"], "age_seconds": float("inf")}],
                "outcomes": {"imported": 10**400, "failed": float("nan")},
            },
            "All is well",
        ),
    ],
)
async def test_a_pause_is_told_and_a_status_of_another_version_does_no_harm(
    start: Start, letters: Letters, told: Mapping[str, object], says: str
) -> None:
    """Whatever an importer says, the pages can be read."""
    _ = letters
    async with (
        serving({**STATUS, **told}) as url,
        Browser(start({"IMPORTER_CONSOLE__STATUS_URL": url})) as browser,
    ):
        assert says in (await browser.get("/")).text
        for address in PAGES:
            assert [] == (await browser.get(address)).flaws()


# ---- several at once ----


async def test_a_letter_that_somebody_else_sent_back_says_so(
    start: Start, letters: Letters
) -> None:
    """Two consoles show one letter: the second to act does nothing, and is told."""
    await letters.put(letter("a"), letter("b"))
    async with Browser(start()) as one, Browser(start()) as other:
        first, second = (
            await settled(one, "/dead-letters/a"),
            await settled(other, "/dead-letters/a"),
        )
        order = {"action": "send back", "who": "Ann"}
        assert "1 letter sent back" in (await one.send(first, "/dead-letter", order)).text
        assert "the letter is gone" in (await other.send(second, "/dead-letter", order)).text
        page = await settled(one, "/dead-letters/a", 404)
        assert "There is no dead letter of this event" in page.text
        assert "Ann" in page.text
    assert 1 == await letters.ready()


async def test_letters_that_others_read_are_not_called_gone(
    start: Start, letters: Letters, broker: Broker, vhost: str
) -> None:
    """The page says that somebody reads them, and to look again."""
    await letters.put(letter("a"))
    console = start()
    async with Browser(console) as browser:
        await settled(browser, "/dead-letters")
        await asyncio.sleep(patient(6))  # the console looks at the queue every five seconds
        async with Upstream(broker.url(vhost)) as reader:
            assert await next_of(await reader.queue("crm.items.dlq"))
            page = await browser.send(
                await browser.get("/dead-letters"), "/dead-letters/look-again"
            )
            deadline = Deadline(20)
            while "Another reader seems to hold" not in page.text:
                assert not deadline.passed, page.text
                await asyncio.sleep(0.2)
                page = await browser.get("/dead-letters")

    async def is_back() -> bool:
        return await letters.ready() == 1

    await wait_until(is_back, what="the return of what others read")


async def test_a_console_that_is_killed_while_it_reads_returns_all(
    start: Start, letters: Letters
) -> None:
    """Looking takes nothing away, however it ends."""
    await letters.put(*(letter(f"e-{n}") for n in range(3000)))
    console = start()
    async with Browser(console) as browser:
        looking = asyncio.create_task(browser.client.get("/dead-letters"))
        await asyncio.sleep(0.7)
        console.kill()
        with suppress(httpx.TransportError):
            await looking

    async def are_back() -> bool:
        return await letters.ready() == 3000

    await wait_until(are_back, what="the return of every letter")


# ---- how it starts and ends ----


async def test_a_console_for_others_needs_a_password(amqp_url: str) -> None:
    """One line, exit code 2."""
    console = Commands(amqp_url, {"IMPORTER_CONSOLE__HOST": "::"})
    done = await console.run("console")
    assert (2, "") == (done.code, done.out)
    [line] = done.err.splitlines()
    assert "IMPORTER_CONSOLE__PASSWORD" in line


async def test_a_console_that_is_not_installed_says_how_to(amqp_url: str, tmp_path: Path) -> None:
    """One line, exit code 2, no traceback."""
    (tmp_path / "starlette.py").write_text("raise ImportError('not here')")
    bare = Commands(amqp_url, {"PYTHONPATH": f"{tmp_path}:{ROOT}"})
    done = await bare.run("console")
    assert (2, "") == (done.code, done.out)
    [line] = done.err.splitlines()
    assert "crm-importer[console]" in line


async def test_a_port_that_is_taken_is_named(amqp_url: str, console: ConsoleProcess) -> None:
    """One line, exit code 1."""
    other = Commands(amqp_url, {"IMPORTER_CONSOLE__PORT": str(console.port)})
    done = await other.run("console")
    assert 1 == done.code
    assert f"127.0.0.1:{console.port}" in done.err
    assert "IMPORTER_CONSOLE__PORT" in done.err
