"""Bodies: no bytes hold the main loop for long, whatever they are made of."""

import base64
import gc
import gzip
import random
import zlib
from collections.abc import Sequence

import pytest

from service.domain.events import ItemEvent, Malformed
from service.domain.external_id import ExternalIds
from service.rabbit.bodies import uncollected, unpacked
from service.rabbit.decoding import Decoder, Incoming
from tests.support.cases import failing
from tests.support.clocks import least_seconds

MOST = 2_000_000
"""The default of RABBIT__MAX_MESSAGE_BYTES."""
SECONDS = 1.0
DECODER = Decoder(external_ids=ExternalIds("crm-importer"), max_bytes=MOST)
PIECES = [
    "{}", "[]", '{"a":0}', "0", "1e3", "1e-400", "0.5", "-1", "true", "null", '""', '"\\n"',
    '"\\u00e9"', '"\\ud83d\\ude00"', "1" * 20, "1" * 300, "1" * 4_000, "9" * 10_000,
    "0." + "1" * 1_000, "1e" + "9" * 1_000, "[" * 50 + "]" * 50, '{"a":' * 50 + "1" + "}" * 50,
]  # fmt: skip


def seconds(body: bytes, encoding: str | None = None) -> float:
    """Return the processor time that one message takes to be read."""
    message, read = Incoming(body, {}, content_encoding=encoding), set[type]()
    took = least_seconds(lambda: read.add(type(DECODER.decode(message))), enough=SECONDS)
    assert read <= {ItemEvent, Malformed}
    return took


def filled(value: str) -> bytes:
    """Return an item event with a list of this value, as long as admitted."""
    head, tail = '{"entityTypeId":2,"id":"a","fields":{"x":[', '0],"y":"z"}}'
    return (head + (value + ",") * ((MOST - 60) // (len(value) + 1)) + tail).encode()


@pytest.mark.parametrize("piece", PIECES, ids=lambda piece: str(piece)[:12])
def test_a_body_of_one_kind_of_value_is_read_in_time(piece: str) -> None:
    """Numbers, text, escapes, members, brackets: each as often as fits."""
    assert seconds(filled(piece)) < SECONDS


GROWING: Sequence[tuple[str, str, str]] = [
    ("{", '"%x":0,', '"":0}'),
    ('{"entityTypeId":2,"fields":{', '"%x":0,', '"":0}}'),
    ('{"entityTypeId":2,"id":"a","fields":{"x":1},', '"%x":0,', '"":0}'),
    ("", "[", ""),
    ("", '{"a":', ""),
    ("", '"', ""),
    ('"', "\\", ""),
    ('"', '\\"', ""),
    ("", "1", ""),
    ("1.", "1", ""),
    ("", "1e", ""),
    ("", "1.e", ""),
    ("", " ", ""),
    ('{"entityTypeId":2,"id":', "1", ',"fields":{"x":1}}'),
    ('{"entityTypeId":2,"id":"', "x", '","fields":{"x":1}}'),
    ('{"entityTypeId":2,"fields":{"originId":', "1", "}}"),
    ('{"entityTypeId":', "1", ',"fields":{"x":1}}'),
]


@pytest.mark.parametrize(("head", "piece", "end"), GROWING)
def test_a_body_that_grows_in_one_place_is_read_in_time(head: str, piece: str, end: str) -> None:
    """Names, nesting, open strings, digits, an id."""
    room = MOST - len(head) - len(end)
    if "%" in piece:
        grown = "".join(piece % each for each in range(room // len(piece % room)))
    else:
        grown = piece * (room // len(piece))
    assert seconds((head + grown + end).encode()) < SECONDS


@pytest.mark.parametrize("seed", range(8))
def test_a_body_of_all_kinds_of_values_is_read_in_time(seed: int) -> None:
    """Any mixture, whole or cut, plain or in an envelope."""
    rng = random.Random(seed)
    mixture = ",".join(rng.choices(rng.sample(PIECES, 5), k=200))
    body = filled(mixture)
    if rng.random() < 0.3:
        body = body[: rng.randrange(len(body))]
    if rng.random() < 0.3:
        inside = base64.b64encode(body[: MOST // 2]).decode()
        body = f'{{"id":"7","source":"s","specversion":"1.0","data_base64":"{inside}"}}'.encode()
    assert seconds(body) < SECONDS


@pytest.mark.parametrize(
    "part",
    [
        gzip.compress(b""),
        gzip.compress(b" "),
        gzip.compress(b" " * MOST),
        gzip.compress(bytes(range(256)) * 20, compresslevel=0),
        gzip.compress(b"")[:12],
        b"\x1f\x8b\x08\x08" + b"\x00" * 6 + b"name" * 100_000,
    ],
    ids=["empty", "space", "bomb", "stored", "cut", "long name"],
)
@pytest.mark.parametrize("most", [MOST, 10 * MOST])
def test_a_packed_body_is_unpacked_in_time(part: bytes, most: int) -> None:
    """Empty parts, bombs, cut ones: the time does not grow with the square."""
    decoder = Decoder(external_ids=ExternalIds("crm-importer"), max_bytes=most)
    body = (part * (most // len(part) + 1))[:most]
    message, read = Incoming(body, {}, content_encoding="gzip"), set[type]()
    assert SECONDS > least_seconds(lambda: read.add(type(decoder.decode(message))), enough=SECONDS)
    assert {Malformed} == read


def test_no_packed_bytes_at_all_make_it_fail() -> None:
    """Changed anywhere, in one part or several."""

    def check(seed: int) -> None:
        rng = random.Random(seed)
        plain = rng.randbytes(rng.randrange(3_000)) + b"a" * rng.randrange(3_000)
        body = bytearray(b"".join(gzip.compress(plain) for _ in range(rng.randrange(1, 4))))
        for _ in range(rng.randrange(4)):
            body[rng.randrange(len(body))] = rng.randrange(256)
        event = DECODER.decode(Incoming(bytes(body), {}, content_encoding="gzip"))
        assert isinstance(event, Malformed)

    assert {} == failing(check, range(100))


def test_a_packed_body_is_unpacked_whole_at_any_size() -> None:
    """Also where the pieces that it is fed in end within a part."""
    for size in (0, 1, 65_535, 65_536, 65_537, 300_000):
        text = random.Random(size).randbytes(size).hex().encode()
        packed = gzip.compress(text, mtime=0) * 2
        assert zlib.crc32(text * 2) == zlib.crc32(_unpacked(packed, 2 * len(text)))


def _unpacked(packed: bytes, most: int) -> bytes:
    found = unpacked(packed, most)
    assert found is not None
    return found


def test_the_collector_comes_back() -> None:
    """Also after an error, and not where it was off before."""
    with pytest.raises(ValueError, match="x"), uncollected():
        raise ValueError("x")
    assert gc.isenabled()
