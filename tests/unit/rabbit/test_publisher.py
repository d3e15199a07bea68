"""Proves what becomes of a publish that the client library cannot even write."""

from dataclasses import replace
from typing import cast

from aiormq import Channel
from pamqp.commands import Basic

from service.rabbit.link import Link
from service.rabbit.publisher import Publisher
from service.rabbit.results import Outgoing, Writer, bare
from service.telemetry.metrics import Metrics

LETTER = Outgoing(
    "dead_letter",
    "crm.items.dlx",
    "",
    b"body",
    Basic.Properties(
        headers={"theirs": "x", "import_error_kind": "rejected"}, message_id="m", reply_to="bad"
    ),
)


class Picky:
    """A channel that cannot write what has a reply address."""

    def __init__(self) -> None:
        self.sent: list[Basic.Properties] = []

    async def basic_publish(self, body: bytes, **more: object) -> None:
        properties = cast("Basic.Properties", more["properties"])
        if properties.reply_to:
            raise TypeError(body)
        self.sent.append(properties)


async def _repair() -> None:
    raise AssertionError


def publisher() -> Publisher:
    """Return a publisher that is handed its channel by the test."""
    return Publisher(
        link=cast("Link", None),
        writer=cast("Writer", None),
        metrics=Metrics(),
        repair=_repair,
    )


async def test_a_dead_letter_that_cannot_be_written_goes_without_its_properties() -> None:
    """Its body and our reason are kept; the original's properties are named as dropped."""
    channel = Picky()
    assert "confirmed" == await publisher()._one(cast("Channel", channel), LETTER)  # noqa: SLF001
    [sent] = channel.sent
    assert {"import_error_kind", "import_dropped_headers"} == set(sent.headers or {})
    assert (2, "m") == (sent.delivery_mode, sent.message_id)


async def test_a_result_that_cannot_be_written_is_told_and_not_raised() -> None:
    """Nothing that is published may end the pipeline."""
    result = replace(LETTER, target="failed")
    told = await publisher()._one(cast("Channel", Picky()), result)  # noqa: SLF001
    assert "unwritable" == told


def test_a_bare_letter_keeps_its_body() -> None:
    """Bytes are never touched."""
    assert LETTER.body == bare(LETTER).body
