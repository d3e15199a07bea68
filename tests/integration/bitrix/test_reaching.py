"""Why the portal cannot be reached: every cause by its name, over real sockets and real TLS."""

import asyncio
import shutil
import ssl
import subprocess
import time
from pathlib import Path

import pytest

from service.bitrix import reasons
from service.bitrix.http import HttpClient, Way, trust
from service.domain.outcomes import CallKind, Fault
from tests.integration.bitrix.peers import (
    GOOD,
    Authority,
    Proxy,
    Serve,
    answers,
    call,
    cuts,
    listening,
    silent,
)
from tests.support.ports import free_port

PATH = "rest/1/secret-word/"
REFUSING = b"HTTP/1.1 %b\r\nContent-Length: 0\r\n\r\n"


@pytest.fixture(scope="module")
def authority() -> Authority:
    """Lend an authority that nobody else knows."""
    return Authority()


@pytest.fixture
def believing(authority: Authority, tmp_path: Path) -> Way:
    """Lend a way on which that authority is believed."""
    return Way(reasons.WEBHOOK, trust(authority.file(tmp_path)))


def says(fault: Fault | None, *words: str) -> bool:
    """Tell whether a call failed, surely not executed, with all these words, and no secret."""
    assert fault is not None
    told = f"{fault.cause} -> {fault.remedy}"
    assert "secret-word" not in repr(fault)
    assert CallKind.UNAVAILABLE is fault.kind, told
    missing = [word for word in words if word not in told]
    assert not missing, told
    return True


async def test_an_authority_that_nobody_gave_is_not_believed(believing: Way) -> None:
    """A self-hosted portal has a certificate that the system does not know."""
    async with listening(answers(GOOD), Authority().server("127.0.0.1")) as port:
        stranger = await call(f"https://127.0.0.1:{port}/{PATH}", believing)
    assert says(stranger, "authority that is not trusted", "IMPORTER_BITRIX__CA_FILE")


async def test_a_known_authority_lets_the_call_through(
    authority: Authority, believing: Way
) -> None:
    """Nothing else is asked of a certificate than to be of it, for the name, and valid."""
    async with listening(answers(GOOD), authority.server("127.0.0.1", "localhost")) as port:
        assert await call(f"https://127.0.0.1:{port}/{PATH}", believing) is None
        assert await call(f"https://localhost:{port}/{PATH}", believing) is None


@pytest.mark.parametrize(
    ("names", "age", "words"),
    [
        (["other.example"], "", ["another name", "127.0.0.1", "IMPORTER_BITRIX__WEBHOOK_URL"]),
        (["127.0.0.1"], "past", ["has expired", "renew it at the portal"]),
        (["127.0.0.1"], "future", ["not valid yet", "clock"]),
    ],
)
async def test_what_is_wrong_with_a_certificate_is_told(
    authority: Authority, believing: Way, names: list[str], age: str, words: list[str]
) -> None:
    """Wrong name, expired, not valid yet: each is somebody else's affair."""
    async with listening(answers(GOOD), authority.server(*names, age=age)) as port:
        fault = await call(f"https://127.0.0.1:{port}/{PATH}", believing)
    assert says(fault, *words)


def says_at_once(text: bytes) -> Serve:
    """Return a server that says something to whoever has sent a byte."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(1)
        writer.write(text)
        await writer.drain()

    return serve


async def test_a_port_without_tls_is_told_from_one_with_a_bad_certificate(believing: Way) -> None:
    """The address begins with https:// and should not, or the port is wrong."""
    async with listening(says_at_once(b"HTTP/1.1 400 Bad Request\r\n\r\n")) as port:
        fault = await call(f"https://127.0.0.1:{port}/{PATH}", believing)
    assert says(fault, "the port does not use TLS", "http://")


async def test_tls_at_a_port_that_we_call_without_is_told(
    authority: Authority, believing: Way
) -> None:
    """The address begins with http:// and should not: some servers say so, some just cut."""
    async with listening(answers(GOOD), authority.server("127.0.0.1")) as port:
        cut = await call(f"http://127.0.0.1:{port}/{PATH}", believing)
    alert = b"\x15\x03\x01\x00\x02\x02\x46"
    async with listening(says_at_once(alert)) as port:
        told = await call(f"http://127.0.0.1:{port}/{PATH}", believing)
    assert cut is not None
    assert told is not None
    assert "https://" in cut.remedy
    assert ("what the portal sent is not HTTP", True) == (told.cause, "https://" in told.remedy)


async def test_what_is_no_http_is_told(believing: Way) -> None:
    """A port of something else, such as a mail server."""
    async with listening(says_at_once(b"220 mail.example ESMTP\r\n\r\n")) as port:
        fault = await call(f"http://127.0.0.1:{port}/{PATH}", believing)
    assert fault is not None
    assert "is not HTTP" in fault.cause


async def test_connections_that_fail_are_told_apart(believing: Way) -> None:
    """Refused, unknown name, cut, too late."""
    nobody = await call(f"https://127.0.0.1:{free_port()}/{PATH}", believing)
    assert says(nobody, "nothing listens there", "the portal is running")
    unknown = await call(f"https://portal.invalid/{PATH}", believing)
    assert says(unknown, "the host name is not known", "DNS")
    async with listening(cuts) as port:
        cut = await call(f"https://127.0.0.1:{port}/{PATH}", believing)
    assert says(cut, "the connection was cut at once", "firewall")
    async with listening(silent) as port:
        late = await call(f"https://127.0.0.1:{port}/{PATH}", believing, seconds=0.5)
    assert says(late, "no answer within 0.25 s", "firewall")


async def test_what_breaks_after_the_call_has_left_is_perhaps_executed(believing: Way) -> None:
    """No answer in time, and a cut: the same words must not stand for both."""
    async with listening(silent) as port:
        late = await call(f"http://127.0.0.1:{port}/{PATH}", believing, seconds=0.5)
    async with listening(cuts) as port:
        cut = await call(f"http://127.0.0.1:{port}/{PATH}", believing)
    assert late is not None
    assert cut is not None
    assert (CallKind.AMBIGUOUS, "CALL_TIMED_OUT") == (late.kind, late.code)
    assert "did not answer within 0.5 s" in late.cause
    assert (CallKind.AMBIGUOUS, "CONNECTION_LOST") == (cut.kind, cut.code)
    assert "was cut before the answer was complete" in cut.cause


@pytest.mark.parametrize(
    ("status", "words"),
    [
        (b"407 Proxy Authentication Required", ["HTTP 407", "user and a password"]),
        (b"403 Forbidden", ["HTTP 403", "let us through"]),
        (b"502 Bad Gateway", ["HTTP 502", "cannot reach the portal"]),
    ],
)
async def test_a_proxy_that_refuses_is_told_with_its_answer(
    believing: Way, status: bytes, words: list[str]
) -> None:
    """The portal was not asked: nothing was executed."""
    async with listening(Proxy(REFUSING % status)) as port:
        way = believing._replace(proxy=f"http://somebody:proxy-pass@127.0.0.1:{port}/")
        fault = await call(f"https://127.0.0.1:1/{PATH}", way)
    assert says(fault, "the proxy refuses", *words)
    assert "proxy-pass" not in repr(fault)


async def test_a_proxy_for_plain_http_that_refuses_has_asked_nobody(believing: Way) -> None:
    """There it answers in the portal's place."""
    async with listening(Proxy(REFUSING % b"407 Proxy Authentication Required")) as port:
        way = believing._replace(proxy=f"http://127.0.0.1:{port}/")
        fault = await call(f"http://portal.invalid/{PATH}", way)
    assert says(fault, "HTTP 407", "IMPORTER_BITRIX__PROXY_URL")


async def test_a_proxy_that_is_not_there_is_not_called_the_portal(believing: Way) -> None:
    """Refused, unknown, silent, cut: it is the proxy that a person must look at."""
    for proxy, words in (
        (f"http://127.0.0.1:{free_port()}/", ["nothing listens there"]),
        ("http://proxy.invalid:3128/", ["the host name is not known", "PROXY_URL"]),
    ):
        fault = await call(f"https://127.0.0.1:1/{PATH}", believing._replace(proxy=proxy))
        assert says(fault, "the proxy cannot be reached", *words)
    async with listening(silent) as port:
        way = believing._replace(proxy=f"http://127.0.0.1:{port}/")
        fault = await call(f"https://127.0.0.1:1/{PATH}", way, seconds=0.5)
    assert says(fault, "the proxy cannot be reached", "no answer within 0.5 s")
    async with listening(cuts) as port:
        way = believing._replace(proxy=f"http://127.0.0.1:{port}/")
        fault = await call(f"https://127.0.0.1:1/{PATH}", way)
    assert says(fault, "the proxy cannot be reached", "cut")


async def test_calls_go_through_the_proxy_and_the_portals_certificate_still_counts(
    authority: Authority, believing: Way
) -> None:
    """The proxy gets its own password, and sees nothing of the portal's."""
    proxy = Proxy()
    async with listening(proxy) as at:
        way = believing._replace(proxy=f"http://somebody:proxy-pass@127.0.0.1:{at}/")
        async with listening(answers(GOOD), authority.server("127.0.0.1")) as port:
            assert await call(f"https://127.0.0.1:{port}/{PATH}", way) is None
        async with listening(answers(GOOD), authority.server("other.example")) as port:
            fault = await call(f"https://127.0.0.1:{port}/{PATH}", way)
    assert says(fault, "the portal cannot be reached", "another name")
    assert all(b"CONNECT 127.0.0.1" in asked for asked in proxy.asked)
    assert all(b"Basic c29tZWJvZHk6cHJveHktcGFzcw==" in asked for asked in proxy.asked)
    assert not any(b"secret-word" in asked for asked in proxy.asked)


def hashed_name(certificate: Path) -> str:
    """Return the name under which OpenSSL looks for a certificate in a folder."""
    asked = ["openssl", "x509", "-hash", "-noout", "-in", str(certificate)]
    return subprocess.check_output(asked, text=True).strip()


async def test_openssls_own_variables_count_and_other_programs_do_not(
    authority: Authority, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """SSL_CERT_FILE, SSL_CERT_DIR; but neither REQUESTS_CA_BUNDLE nor a proxy."""
    file = authority.file(tmp_path)
    monkeypatch.setenv("HTTPS_PROXY", f"http://127.0.0.1:{free_port()}/")
    monkeypatch.setenv("ALL_PROXY", f"http://127.0.0.1:{free_port()}/")
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(file))
    async with listening(answers(GOOD), authority.server("127.0.0.1")) as port:
        url = f"https://127.0.0.1:{port}/{PATH}"
        assert says(await call(url, Way(reasons.WEBHOOK, trust())), "not trusted")
        with monkeypatch.context() as only:
            only.setenv("SSL_CERT_FILE", str(file))
            assert await call(url, Way(reasons.WEBHOOK, trust())) is None
        folder = tmp_path / "hashed"
        folder.mkdir()
        shutil.copy(file, folder / f"{hashed_name(file)}.0")
        monkeypatch.setenv("SSL_CERT_DIR", str(folder))
        assert await call(url, Way(reasons.WEBHOOK, trust())) is None


async def test_the_authorisation_server_may_have_an_authority_of_either_kind(
    authority: Authority, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is the maker's, while the portal may be our own; a proxy may take both apart."""
    public, own = authority, Authority()
    monkeypatch.setenv("SSL_CERT_FILE", str(public.file(tmp_path)))
    file = own.file(tmp_path, "own.pem")
    for each in (public, own):
        async with listening(answers(GOOD), each.server("127.0.0.1")) as port:
            url = f"https://127.0.0.1:{port}/{PATH}"
            assert await call(url, Way(reasons.AUTH_SERVER, trust(file, too=True))) is None
            strict = await call(url, Way(reasons.WEBHOOK, trust(file)))
            assert (each is own) == (strict is None)


def test_an_authority_with_few_extensions_is_believed_by_every_python() -> None:
    """Newer ones refuse it by default: authorities of one's own are made with old recipes."""
    assert not trust().verify_flags & ssl.VERIFY_X509_STRICT


async def test_the_end_of_the_portals_certificate_is_told(
    authority: Authority, believing: Way
) -> None:
    """Before it has come: after that nothing connects."""
    ends: list[float] = []
    async with (
        listening(answers(GOOD), authority.server("127.0.0.1")) as port,
        HttpClient(believing, connections=1, on_expiry=ends.append) as http,
    ):
        await http.post(f"https://127.0.0.1:{port}/{PATH}profile", b"{}", seconds=5.0)
    assert time.time() < ends[0]
