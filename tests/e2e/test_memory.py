"""Proves what the memory is for: a restart or a kill forgets nothing and blames nobody."""

from tests.support.amqp import Upstream, wait_until
from tests.support.broker import Broker
from tests.support.environment import INTAKE_QUEUE, Environment, deals

MEMORY = "crm.items.memory"
ESTIMATE = 7
"""A type without a field for an external id: nobody can look one up."""
READ = "memory following"


async def test_repeats_are_recognised_after_a_restart(broker: Broker, vhost: str) -> None:
    """Also beyond the first prefetch, and without asking the portal for each."""
    ids = [f"deal-{number}" for number in range(120)]
    async with Environment(
        broker, vhost, settings={"IMPORTER_BATCH__PREFETCH": "60"}
    ) as environment:
        first = await environment.start_service()
        await environment.publish(deals(*ids))
        await environment.settle(ids)
        first.terminate()
        first.wait()
        await environment.start_service()
        calls = len(environment.import_calls())
        await environment.publish(deals(*ids))
        await _all_repeated(environment, len(ids))
        assert calls == len(environment.import_calls())
        assert set(environment.external_ids().values()) == {1}


async def test_repeats_are_recognised_after_a_kill(broker: Broker, vhost: str) -> None:
    """A moment after the last acknowledgement."""
    ids = [f"deal-{number}" for number in range(40)]
    async with Environment(broker, vhost) as environment:
        first = await environment.start_service()
        await environment.publish(deals(*ids))
        await environment.settle(ids)
        first.kill()
        await environment.start_service()
        await environment.publish(deals(*ids))
        await _all_repeated(environment, len(ids))
        assert set(environment.external_ids().values()) == {1}


async def test_a_kill_blames_only_what_was_in_a_call(broker: Broker, vhost: str) -> None:
    """Of a full prefetch of estimates, those of the calls in flight; the others are imported."""
    ids = [f"estimate-{number}" for number in range(100)]
    slow = {"default_item_seconds": 0.1}
    async with Environment(broker, vhost, portal=slow) as environment:
        await _begin(environment)
        # Of a busy machine no call may time out before the kill: it would be blamed as well.
        times = {"BITRIX__TIMEOUT_SECONDS": "60", "SHUTDOWN__DEADLINE_SECONDS": "60"}
        first = await environment.start_service(BATCH__SLOTS="1", BATCH__PREFETCH="100", **times)
        await wait_until(lambda: READ in first.stderr(), what="the memory read")
        await environment.publish(deals(*ids, entity_type=ESTIMATE))
        await wait_until(lambda: len(environment.import_calls()) >= 2, what="a call")
        first.kill()
        await environment.start_service(BATCH__SLOTS="1")
        await environment.settle(ids, 90)
        outcomes = environment.books.outcomes()
    blamed = [each for each in ids if "ambiguous" in outcomes[each]]
    assert len(blamed) <= 20
    assert all(outcomes[each] <= {"succeeded", "ambiguous"} for each in ids)


async def test_a_fresh_event_does_not_wait_for_what_a_dead_process_had(
    broker: Broker, vhost: str
) -> None:
    """Whatever the time is that a call without an answer may still be at work."""
    ids = [f"deal-{number}" for number in range(60)]
    settings = {"IMPORTER_BITRIX__SETTLE_SECONDS": "20"}
    slow = {"default_item_seconds": 0.1}
    async with Environment(broker, vhost, portal=slow, settings=settings) as environment:
        await _begin(environment)
        first = await environment.start_service(BATCH__SLOTS="1")
        await wait_until(lambda: READ in first.stderr(), what="the memory read")
        await environment.publish(deals(*ids))
        await wait_until(lambda: len(environment.import_calls()) >= 2, what="a call")
        first.kill()
        environment.portal.settings({"default_item_seconds": 0.0})
        await environment.start_service(BATCH__SLOTS="2")
        await environment.publish(deals("fresh"))
        books = await environment.settle([*ids, "fresh"], 90)
        environment.assert_effectively_once([*ids, "fresh"])
        # What was in the call is looked up only when that may have ended.
        assert books.behind("fresh") & set(ids)


async def test_without_the_memory_it_works_as_before(broker: Broker, vhost: str) -> None:
    """Switched off, or with a queue of its name that is no stream."""
    async with Environment(broker, vhost) as environment:
        service = await environment.start_service(RABBIT__MEMORY_QUEUE="")
        await environment.publish(deals("a"))
        await environment.settle(["a"])
        service.terminate()
        service.wait()
        assert MEMORY not in broker.queues(vhost)
        async with Upstream(broker.url(vhost)) as upstream:
            await upstream.channel.declare_queue(MEMORY, durable=True)
        await environment.start_service()
        await environment.publish(deals("b", "c"))
        await environment.settle(["b", "c"])
        environment.assert_effectively_once(["a", "b", "c"])


async def _all_repeated(environment: Environment, count: int) -> None:
    """Wait until so many events were told to have been imported before."""

    async def repeated() -> bool:
        await environment.read()
        return _repeats(environment) >= count

    await wait_until(repeated, what="an answer to each repeat")


def _repeats(environment: Environment) -> int:
    return len(
        {e["data"]["eventId"] for e in environment.books.succeeded if e["data"]["duplicate"]}
    )


async def _begin(environment: Environment) -> None:
    """Have the memory made by a process that is gone: its first one cannot rely on it yet."""
    service = await environment.start_service()
    await wait_until(lambda: READ in service.stderr(), what="the memory made")
    await environment.publish(deals("begun"))
    await environment.settle(["begun"])
    service.terminate()
    service.wait()
    assert INTAKE_QUEUE in environment.broker.queues(environment.vhost)
