"""Runs every example of deploy/upstream.md as it stands, against a broker and the importer."""

import asyncio
import re
import subprocess
from collections.abc import Callable, Collection, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest

from tests.support.amqp import Upstream, next_of, wait_until
from tests.support.broker import Broker
from tests.support.child_process import ChildProcess
from tests.support.environment import Environment, deals
from tests.support.patience import patient
from tests.support.upstream_page import EXAMPLES, PAGE, QUEUE, SUFFIXES, Example, environment

NOT_RUN = 1026
"""The order of the .NET example."""
ORDERS = [f"order-{number}" for number in range(1017, 1030) if number != NOT_RUN]
REFERRED = ["customer-77", "customer-78", "customer-79", "company-9"]
"""The examples of links: what orders refer to."""
LEADS = {"order-1023", "order-1024"}
DEALS = [each for each in ORDERS if each not in LEADS]
INTERFACE = (Path(__file__).parent / "dotnet/interface.txt").read_text(encoding="utf-8")
READERS = [each for each in EXAMPLES if each.is_runnable and each.is_reader]
PUBLISHERS = [each for each in EXAMPLES if each.is_runnable and not each.is_reader]
PROGRAMS = [each for each in PUBLISHERS if each.language != "sh" and not each.is_fragment]
CALL = re.compile(r"\b(?:channel|connection|factory|consumer|delivery)\.(\w+)")
CREATED = re.compile(r"\bnew (\w+)[ ({]")
ARGUMENT = re.compile(r"\b([a-z]\w+): ")
OF_DOTNET_ITSELF = {"Uri", "JsonSerializerOptions", "Queue", "Item", "Dictionary"}
READER_SECONDS = 40.0


def test_every_example_is_run_or_checked() -> None:
    """Each language has a publisher and a reader; no block is of a language unknown here."""
    assert set(SUFFIXES) == {each.language for each in EXAMPLES}
    whole = [each for each in EXAMPLES if each.language != "sh" and not each.is_fragment]
    programs = [(each.language, each.is_reader) for each in whole]
    assert ["python", "javascript"] == [each.language for each in EXAMPLES if each.is_fragment]
    languages = ("python", "javascript", "php", "csharp")
    assert sorted((name, reads) for name in languages for reads in (False, True)) == sorted(
        programs
    )
    named = set(re.findall(r"order-\d+", "".join(each.text for each in PUBLISHERS)))
    assert set(ORDERS) == named


def test_dotnet_examples_use_only_what_their_client_publishes() -> None:
    """.NET is not at hand: hold every member, type and named argument against the interface."""
    for example in (each for each in EXAMPLES if each.language == "csharp"):
        text = re.sub(r"//.*|\$?\"[^\"\n]*\"", "", example.text)
        for member in CALL.findall(text):
            assert re.search(rf"\.{member}(\W|$)", INTERFACE, re.MULTILINE), member
        for kind in set(CREATED.findall(text)) - OF_DOTNET_ITSELF:
            assert f".{kind}.{kind}(" in INTERFACE, kind
        for argument in ARGUMENT.findall(text):
            assert re.search(rf"\b{argument}( =|,|\))", INTERFACE), argument


def test_the_page_says_beside_each_dotnet_example_that_nobody_compiled_it() -> None:
    """Whoever pastes it has to know what was checked, and what was not."""
    before = [text.rpartition("<details>")[2] for text in PAGE.split("```csharp")[:-1]]
    assert 2 == len(before)
    assert all("Our tests do not compile or run this example" in text for text in before)


def test_the_check_of_dotnet_examples_can_refuse() -> None:
    """The interface of version 7 has none of the calls of version 6."""
    for member in ("CreateModel", "BasicPublish", "WaitForConfirmsOrDie", "Received"):
        assert not re.search(rf"\.{member}(\W|$)", INTERFACE, re.MULTILINE), member


async def test_what_the_page_publishes_every_reader_of_the_page_tells(
    broker: Broker, vhost: str, tmp_path: Path
) -> None:
    """Publish each example once; each reader tells each result once, also over a lost connection.

    A result that comes again under the same id is told by none, and a lead by none: they are bound
    to deals.
    """
    async with Environment(broker, vhost, portal={"required": {"2": ["title"]}}) as environment:
        await environment.start_service()
        with _running(broker, vhost, tmp_path) as told:
            await wait_until(
                lambda: len(READERS) == len(_bound(broker, vhost)), 20, what="readers' queues"
            )
            for number, example in enumerate(PUBLISHERS):
                await asyncio.to_thread(
                    _run, example, example.against(broker, vhost), tmp_path / f"p{number}"
                )
            await _all_tell(told, {f"{each} is item" for each in DEALS})
            await environment.publish([b"{", *deals(ORDERS[0])])
            await environment.publish(
                [{"entityTypeId": 2, "id": "bad", "fields": {"comments": "x"}}]
            )
            await _all_tell(told, {"bad failed: CRM_FIELD_ERROR_REQUIRED", "failed: NOT_JSON"})
            await _cut(broker, vhost)
            await environment.publish(deals("after"))
            await _all_tell(told, {"after is item"})
            assert [len(DEALS) + 1] * len(READERS) == [each.count(" is item ") for each in told()]
        await environment.wait_idle()
        found = environment.external_ids()
        assert sorted([*ORDERS, "after", *REFERRED]) == sorted(found.elements())
        _assert_linked(environment)


@pytest.mark.parametrize("example", PROGRAMS, ids=lambda example: example.language)
async def test_publishers_try_again_when_the_queue_is_full(
    broker: Broker, vhost: str, tmp_path: Path, example: Example
) -> None:
    """A nack is no end: the event is published again until the broker has it."""
    async with Upstream(broker.url(vhost)) as upstream:
        exchange = await upstream.channel.declare_exchange("crm.items", "topic", durable=True)
        full: dict[str, Any] = {
            "x-queue-type": "quorum",
            "x-max-length": 1,
            "x-overflow": "reject-publish",
        }
        queue = await upstream.channel.declare_queue("q", durable=True, arguments=full)
        await queue.bind(exchange, "#")
        for _ in range(2):
            await upstream.publish(b"in the way")
        # A quorum queue notices that it is full a moment after it is.
        await asyncio.sleep(1)
        folder = tmp_path / "example"
        folder.mkdir()
        process = _start(example, example.against(broker, vhost), folder)
        try:
            await wait_until(lambda: "trying again" in process.tail(), 20, what="a nack")
            await queue.purge()
            code = await asyncio.to_thread(process.wait, 30)
        finally:
            process.kill()
        assert (0, True) == (code, process.tail().rstrip().count("published") >= 1)
        message = await next_of(queue)
        assert message is not None
        assert b"order-" in message.body


@pytest.mark.parametrize("example", PROGRAMS, ids=lambda example: example.language)
async def test_publishers_say_that_no_queue_takes_a_message(
    broker: Broker, vhost: str, tmp_path: Path, example: Example
) -> None:
    """A return ends the program: to try again would not help."""
    async with Upstream(broker.url(vhost)) as upstream:
        await upstream.channel.declare_exchange("crm.items", "topic", durable=True)
        tmp_path.joinpath("example").mkdir()
        process = _start(example, example.against(broker, vhost), tmp_path / "example")
        try:
            await asyncio.to_thread(process.wait, 20)
        finally:
            process.kill()
        assert re.search("no queue takes it|unroutable", process.tail(), re.IGNORECASE)
        assert "published\n" not in process.stdout.read_text()


@pytest.mark.parametrize(
    "example",
    [*PROGRAMS, *READERS],
    ids=lambda example: f"{example.language}-{'reader' if example.is_reader else 'publisher'}",
)
async def test_a_refused_login_right_or_virtual_host_ends_the_program(
    broker: Broker, vhost: str, tmp_path: Path, example: Example
) -> None:
    """With one line that says so: to try again would not help."""
    broker.api("PUT", "users/low", {"password": "low-low-low", "tags": ""})
    nothing = {"configure": "^$", "write": "^$", "read": "^$"}
    broker.api("PUT", f"permissions/{quote(vhost, safe='')}/low", nothing)
    at = broker.address
    ours = (f"{at.user}:{at.password}@", f'"{at.user}", "{at.password}"')

    def as_user(user: str, password: str) -> str:
        text = example.against(broker, vhost)
        for mine, theirs in zip(
            ours, (f"{user}:{password}@", f'"{user}", "{password}"'), strict=True
        ):
            text = text.replace(mine, theirs)
        return text

    refused = {
        "login": as_user(at.user, "wrong"),
        "right": as_user("low", "low-low-low"),
        "virtual host": example.against(broker, "nowhere"),
    }

    def end(name: str, text: str) -> tuple[str, int, str]:
        folder = tmp_path / name
        folder.mkdir()
        process = _start(example, text, folder)
        try:
            return name, process.wait(patient(20)), process.tail()
        finally:
            process.kill()

    ends = await asyncio.gather(*(asyncio.to_thread(end, *each) for each in refused.items()))
    for name, code, told in ends:
        assert (1, 1, 0) == (
            code,
            told.count("stopped, this needs the operator"),
            told.count("again in 5 s"),
        ), f"{name}: {told}"


def _run(example: Example, text: str, folder: Path) -> None:
    """Run one example to its end, which has to be a good one."""
    folder.mkdir()
    done = subprocess.run(
        example.command(text, folder),
        cwd=folder,
        env=environment(folder),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert 0 == done.returncode, f"{text}\n{done.stdout}\n{done.stderr}"


def _start(example: Example, text: str, folder: Path) -> ChildProcess:
    return ChildProcess(
        example.command(text, folder), env=environment(folder), cwd=folder, name="example"
    )


@contextmanager
def _running(broker: Broker, vhost: str, folder: Path) -> Iterator[Callable[[], list[str]]]:
    """Run every reader, each with a queue of its own; gives what each has told so far."""
    with ExitStack() as stack:
        processes = []
        for reader in READERS:
            place = folder / reader.language
            place.mkdir()
            text = reader.against(broker, vhost, f"{QUEUE}-{reader.language}")
            processes.append(_start(reader, text, place))
            stack.callback(processes[-1].kill)
        yield lambda: [each.stdout.read_text(encoding="utf-8") for each in processes]


def _assert_linked(environment: Environment) -> None:
    """Check that the orders of the examples have the portal's numbers of what they refer to."""
    numbers = environment.crm_ids()
    fields = {each["externalId"]: each["fields"] for each in environment.portal.ledger()["items"]}
    ada, alan, grace, company = (numbers[each] for each in REFERRED)
    assert ada == fields["order-1027"]["contactId"]
    assert (company, [ada, alan]) == (
        fields["order-1028"]["companyId"],
        fields["order-1028"]["contactIds"],
    )
    assert company == fields["customer-78"]["companyId"]
    assert grace == fields["order-1029"]["contactId"]


async def _all_tell(told: Callable[[], list[str]], wanted: Collection[str]) -> None:
    """Wait until every reader has told all of this."""
    await wait_until(
        lambda: all(each in text for text in told() for each in wanted),
        READER_SECONDS,
        what=f"{wanted} of every reader: {told()}",
    )


def _bound(broker: Broker, vhost: str) -> set[str]:
    """Return the queues of readers that are bound by all three keys."""
    rows = broker.api(
        "GET", f"exchanges/{quote(vhost, safe='')}/crm.items.results/bindings/source"
    )
    keys = [row["destination"] for row in rows if row["destination"].startswith(QUEUE)]
    return {name for name in keys if 3 == keys.count(name)}


async def _cut(broker: Broker, vhost: str) -> None:
    """Close the connection of every reader."""
    names: dict[str, str] = {}

    def known() -> bool:
        for row in broker.api("GET", f"consumers/{quote(vhost, safe='')}"):
            connection = row["channel_details"].get("connection_name")
            if connection and row["queue"]["name"].startswith(QUEUE):
                names[row["queue"]["name"]] = connection
        return len(READERS) == len(names)

    await wait_until(known, 20, what="the connection of every reader")
    for name in names.values():
        broker.api("DELETE", f"connections/{quote(name, safe='')}")
