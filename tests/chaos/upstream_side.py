"""Does to the importer what upstream systems and people with a dead-letter queue do."""

from tests.chaos.trial import ADMIN, REJECTED, SLOW, Scenario, Trial, event

EVENTS = 60
CUT_ONCE = {"kind": "cut_after_commit", "times": 1}


async def same_twice(trial: Trial) -> None:
    """Publish the same messages again, in flight and later: the same result again."""
    await trial.start()
    first = [event(f"e{n}") for n in range(EVENTS)]
    await trial.send(first)
    await trial.send(first)
    await trial.environment.settle(trial.expected)
    await trial.send(first)


async def same_id_other_body(trial: Trial) -> None:
    """Publish other bodies under ids in flight: the first is imported, all get its result."""
    trial.environment.portal.faults([CUT_ONCE])
    await trial.start()
    for text in ("first", "second", "third"):
        await trial.send([event(f"e{n}", comments=text) for n in range(EVENTS)])


async def shared_origin(trial: Trial) -> None:
    """Let two events bring one `originId`: each becomes an item of its own."""
    trial.environment.portal.faults([CUT_ONCE])
    await trial.start()
    await trial.send(
        [
            event(f"{side}{n}", originId=f"shared-{n}", originatorId="shop")
            for n in range(EVENTS // 2)
            for side in ("left", "right")
        ]
    )


async def redriven(trial: Trial) -> None:
    """Redrive refused events after the portal was mended, and imported ones by mistake."""
    portal = trial.environment.portal
    portal.settings({"required": {"2": ["comments"]}})
    service = await trial.start()
    there = [event(f"there-{n}", comments="complete") for n in range(15)]
    refused = [event(f"refused-{n}") for n in range(15)]
    still = [event(f"still-{n}", 1) for n in range(5)]
    portal.settings({"required": {"2": ["comments"], "1": ["comments"]}})
    await trial.send(there)
    await trial.send([*refused, *still], may_end=REJECTED)
    await trial.environment.settle(trial.expected)
    service.kill()
    portal.settings({"required": {"1": ["comments"]}})
    await trial.start()
    trial.allow("repeat", [body["id"] for body in still])
    both = (frozenset({"rejected", "succeeded"}),)
    for body in (*there, *refused, *still):
        may_end = both if body in refused else trial.expected[body["id"]]
        headers = {"import_redrive_count": 1, "import_event_id": body["id"]}
        await trial.send([body], may_end=may_end, headers=headers)
    await trial.environment.wait_idle()


SCENARIOS = (
    Scenario(name="published twice, same body", act=same_twice, portal=SLOW),
    Scenario(name="published twice, other body", act=same_id_other_body, portal=ADMIN),
    Scenario(name="one originId, two events", act=shared_origin, portal=ADMIN),
    Scenario(name="redriven", act=redriven, portal=ADMIN),
)
