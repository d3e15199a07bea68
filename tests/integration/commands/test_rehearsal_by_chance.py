"""Holds the rehearsal against the portal over random items: what it calls good is taken.

Each item is judged as `publish --rehearse` does, and imported by the importer's own client into
the simulated portal, which shares no code with either.
"""

import json
import random
from collections import Counter
from collections.abc import Sequence

import pytest

from service import factories
from service.bitrix.client import Portal as Client
from service.commands.publish.records import JSON, Place, Record, judged
from service.commands.publish.rehearsal.asking import Asking
from service.commands.publish.rehearsal.judging import Judge
from service.commands.publish.rehearsal.verdicts import Finding, Level, worst
from service.domain.outcomes import Accepted, CallFailed, Refused, Verdict
from service.settings.environment import load
from service.telemetry.metrics import Metrics
from tests.sandbox import Portal, Settings, running_portal

ITEMS = 200
MOST = 20
NUMBERS = (0, 1, -1, 17, 1.5, -0.5, 1e20, 89701010000000000000, 10**400)
TEXTS = (
    *("", " ", "x", "x" * 300, "Y", "n", "true", "0", "-1", " -7 and more", "-0.5", "1e3", "+5"),
    *("2001-01-31", "2100-01-01", "31.01.2026", "2026-02-31", "soon", "2020-01-01T10:00:00+03:00"),
    *("5,6", "crm-importer", "\u0436", "\N{GRINNING FACE}", "data:,x", "aGk="),
)
PLAIN: tuple[object, ...] = (None, True, False, [], {}, *NUMBERS, *TEXTS)
NAMES = {
    1: "title PHONE EMAIL companyId contactId contactIds opened birthdate",
    2: "title companyId contactId leadId quoteId opportunity begindate opened ufCrmTags ufCrmWhen "
    "ufCrmPapers UF_CRM_TAGS ufCrm_unheard stageId assignedById parentId3 titel id",
    3: "name lastName photo companyId companyIds leadId export PHONE birthdate typeId",
    4: "title revenue logo isMyCompany contactIds leadId WEB",
    31: "title xmlId companyId contactId mycompanyId begindate categoryId",
    1032: "title xmlId ufCrmNeed companyId contactIds webformId observers",
    7: "title dealId leadId contactId content",
    999: "title",
}
SYSTEM = ("createdTime", "updatedTime", "movedTime", "createdBy", "updatedBy", "movedBy")
ONE = frozenset({"xmlId", *SYSTEM})
PORTAL = Settings(
    required={3: ["name"], 4: ["title"]},
    user_fields={
        2: {
            "ufCrmTags": {"type": "string", "multiple": True},
            "ufCrmWhen": {"type": "datetime", "multiple": True},
            "ufCrmPapers": {"type": "file", "multiple": True},
        },
        1032: {"ufCrmNeed": {"type": "string", "required": True}},
    },
)
Judged = tuple[Record, list[Finding]]


def some(dice: random.Random, depth: int = 0) -> object:
    """Return a random value, sometimes a list or an object of such."""
    kind = dice.random()
    if kind < 0.12 and depth < 2:
        return [some(dice, depth + 1) for _ in range(dice.randrange(4))]
    if kind < 0.2 and depth < 2:
        names = dice.sample(("VALUE", "VALUE_TYPE", "a", "0", "id"), dice.randrange(4))
        return {name: some(dice, depth + 1) for name in names}
    return dice.choice(PLAIN)


def line(dice: random.Random, number: int) -> bytes:
    """Return a random item event."""
    kind = dice.choice([*NAMES, 2, 2, 3])
    names = NAMES[kind].split()
    if dice.random() < 0.1:
        names += SYSTEM
    # Of these the simulated portal knows texts only.
    fields = {
        name: dice.choice(TEXTS) if name in ONE else some(dice)
        for name in dice.sample(names, dice.randrange(1, len(names) + 1))
    }
    event = {"entityTypeId": kind, "id": f"e{number}", "fields": fields}
    if dice.random() < 0.2:
        event["useOriginalUfNames"] = "Y"
    return json.dumps(event).encode()


@pytest.mark.parametrize("admin", [True, False])
async def test_rehearsal_and_portal_agree_on_random_items(*, admin: bool) -> None:
    """Good ones are taken, bad ones refused with the code that was foretold."""
    dice = random.Random(20 + admin)
    portal = Portal(PORTAL.patched({"admin": admin}))
    async with running_portal(portal) as address:
        webhook = f"{address}rest/1/sandbox-secret/"
        limits = {"REQUESTS_PER_SECOND": "1000", "BURST": "1000", "WEBHOOK_URL": webhook}
        settings = load({f"IMPORTER_BITRIX__{name}": value for name, value in limits.items()})
        async with factories.portal(settings, Metrics()) as client:
            external = factories.external_ids(settings.bitrix)
            judge, decoder = (
                Judge(Asking(client), external, rejects=False),
                factories.decoder(settings),
            )
            lines: list[Judged] = []
            for number in range(ITEMS):
                record = judged(Place.at(number), line(dice, number), JSON, decoder)
                if isinstance(record, Record):
                    lines.append((record, await judge.findings(record)))
            verdicts = [each for some in _calls(lines) for each in await _import(client, some)]
    saved = {item.external[2] for item in portal.ledger.items if item.external}
    wrong = [each for each in verdicts if _disagree(*each, saved)]
    assert [] == [(bytes(record.body), *map(str, more)) for record, *more in wrong]
    levels = Counter(worst(findings) for _, findings in lines)
    sure = levels.total() - levels[Level.MAY_FAIL]
    assert min(levels[Level.FAIL], sure - levels[Level.FAIL]) > ITEMS / 10


def _calls(lines: Sequence[Judged]) -> list[list[Judged]]:
    keys = dict.fromkeys(record.event.batch_key for record, _ in lines)
    of = {key: [each for each in lines if each[0].event.batch_key == key] for key in keys}
    return [each[at : at + MOST] for each in of.values() for at in range(0, len(each), MOST)]


Answered = tuple[Record, list[Finding], Verdict | CallFailed]


async def _import(client: Client, several: list[Judged]) -> list[Answered]:
    """Import items as one batch; one that is refused as a whole is imported one by one."""
    events = [record.event for record, _ in several]
    try:
        report = await client.import_items(events[0].batch_key, events)
    except CallFailed as failed:
        if len(several) > 1:
            return [each for one in several for each in await _import(client, [one])]
        return [(*several[0], failed)]
    return [(*each, verdict) for each, verdict in zip(several, report, strict=True)]


def _disagree(
    record: Record, findings: list[Finding], verdict: Verdict | CallFailed, saved: set[str]
) -> bool:
    """Tell whether what was foretold did not come; what may fail may do either.

    What was saved although the answer names an error is found by the importer's look-up.
    """
    level = worst(findings)
    codes = {each.code for each in findings if each.level is Level.FAIL}
    if level is Level.MAY_FAIL:
        return False
    if isinstance(verdict, Accepted) or record.event.event_id in saved:
        return level is Level.FAIL
    return _code(verdict) not in codes


def _code(verdict: Refused | CallFailed) -> str:
    return verdict.fault.code if isinstance(verdict, CallFailed) else verdict.code
