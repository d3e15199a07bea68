"""Links in one file: resolved by other lines or by the CRM, else told as the result would."""

import json
from collections.abc import Mapping, Sequence
from typing import Any

from service.commands.publish.json_lines import event_of
from service.commands.publish.records import Place, Record
from service.commands.publish.rehearsal.asking import Asking
from service.commands.publish.rehearsal.identities import Identities
from service.commands.publish.rehearsal.references import MAX_FOLLOWED, References
from service.commands.publish.rehearsal.tally import Tally
from service.commands.publish.rehearsal.verdicts import Finding, Level
from service.domain.external_id import ExternalIds
from service.domain.outcomes import CallKind
from service.rabbit.decoding import Decoder
from tests.unit.bitrix.scripted import ScriptedPortal
from tests.unit.domain.samples import fault
from tests.virtual_time import run

DECODER = Decoder(external_ids=ExternalIds("crm-importer"), max_bytes=100_000)
BARRED = fault(CallKind.BARRED, "INVALID_CREDENTIALS", 401)
NOWHERE = fault(CallKind.UNSUPPORTED, "NOT_FOUND", 400)
DENIED = fault(CallKind.SUSPECT, "ACCESS_DENIED", 400)


def to(event_id: str, entity_type: int = 2, **more: str) -> dict[str, object]:
    """Return a reference."""
    return {"entityTypeId": entity_type, "id": event_id, **more}


def record(line: int, event_id: str, *targets: Mapping[str, object], **fields: object) -> Record:
    """Return a good event on a line, with a link for each target."""
    body: dict[str, Any] = {"entityTypeId": 2, "id": event_id, "fields": {"title": "x", **fields}}
    if targets:
        body["links"] = {f"parentId{200 + at}": each for at, each in enumerate(targets)}
    found = event_of(Place.at(line), json.dumps(body).encode(), DECODER, None)
    assert isinstance(found, Record), found
    return found


def told(
    records: Sequence[Record],
    portal: ScriptedPortal | None = None,
    identities: Identities | None = None,
) -> dict[int, list[Finding]]:
    """Return what is found of the links of each line."""
    found: dict[int, list[Finding]] = {}

    async def work() -> None:
        tally = Tally(lambda *_: None)
        known = identities or Identities()

        def late(place: Place, number: int, finding: Finding) -> None:
            tally.late(place, number, finding)
            found.setdefault(place.first, []).append(finding)

        references = References(Asking(portal or ScriptedPortal()), late, known, 86400.0)
        for each in records:
            at_once = references.findings(each.event)
            number = tally.line(each.place, at_once)
            if at_once:
                found[each.place.first] = at_once
            elif known.is_new(each):
                references.add(each, number)
        await references.finish()
        assert sum(references.failed.values()) == len(
            {line for line, each in found.items() if each[0].code == "LINK_NOT_FOUND"}
            | {line for line, each in found.items() if "knows no entity type" in each[0].text}
        )

    run(work())
    return found


def codes(found: Mapping[int, Sequence[Finding]]) -> dict[int, list[str]]:
    """Return the codes of each line."""
    return {line: [each.code for each in several] for line, several in found.items()}


def test_a_link_to_another_line_is_good_in_any_order() -> None:
    """Before or behind, several levels deep; nobody is asked for it."""
    portal = ScriptedPortal()
    lines = [
        record(1, "c", to("b")),
        record(2, "b", to("a"), to("d")),
        record(3, "a"),
        record(4, "d", to("a")),
    ]
    assert {} == told(lines, portal)
    assert [] == portal.failed_look_ups


def test_a_link_to_an_item_in_the_crm_is_good() -> None:
    """It is looked up, once, however many lines refer to it."""
    portal = ScriptedPortal()
    portal.create(record(1, "old").event)
    assert {} == told([record(n, f"e{n}", to("old")) for n in range(1, 5)], portal)
    assert [["old"]] == portal.failed_look_ups


def test_a_link_that_leads_nowhere_fails_whoever_waits_for_it() -> None:
    """And whoever waits for that one; the others are good."""
    lines = [record(1, "a", to("nobody")), record(2, "b", to("a")), record(3, "c"), record(4, "d")]
    found = told(lines)
    assert {1: ["LINK_NOT_FOUND"], 2: ["LINK_NOT_FOUND"]} == codes(found)
    assert "2/nobody was not found in 86,400 s" in found[1][0].text
    assert found[1][0].text.endswith("publish that event, or correct the reference")
    assert "2/a was not found" in found[2][0].text


def test_a_line_that_will_not_be_imported_may_be_in_the_crm_already() -> None:
    """Then what refers to it is good."""
    portal = ScriptedPortal()
    lines = [record(1, "a", to("nobody")), record(2, "b", to("a"))]
    portal.create(lines[0].event)
    assert {1: ["LINK_NOT_FOUND"]} == codes(told(lines, portal))


def test_a_circle_is_named() -> None:
    """Of those in it by all its events; who only waits for one is told what is missing."""
    lines = [record(1, "a", to("b")), record(2, "b", to("c")), record(3, "c", to("a"))]
    found = told([*lines, record(4, "d", to("a")), record(5, "e")])
    assert {line: ["LINK_NOT_FOUND"] for line in (1, 2, 3, 4)} == codes(found)
    assert "(2/a → 2/b → 2/c → 2/a)" in found[1][0].text
    assert "(2/b → 2/c → 2/a → 2/b)" in found[2][0].text
    assert "refer to one another" not in found[4][0].text


def test_only_so_many_circles_are_named() -> None:
    """Each may lead through the whole file; the others fail all the same."""
    pairs = range(MAX_FOLLOWED)
    lines = [record(2 * n + 1, f"a{n}", to(f"b{n}")) for n in pairs]
    lines += [record(2 * n + 2, f"b{n}", to(f"a{n}")) for n in pairs]
    found = [each for several in told(lines).values() for each in several]
    assert {"LINK_NOT_FOUND"} == {each.code for each in found}
    assert (2 * MAX_FOLLOWED, MAX_FOLLOWED) == (len(found), sum("→" in e.text for e in found))
    assert 2 == len({each.alike for each in found})


def test_a_type_that_nobody_can_look_up_cannot_be_referred_to() -> None:
    """Without an external id at once; unknown to the portal when it says so."""
    portal = ScriptedPortal()
    portal.look_up_faults.append(NOWHERE)
    found = told([record(1, "a", to("x", 7)), record(2, "b", to("x", 999))], portal)
    assert {1: ["LINK_NOT_POSSIBLE"], 2: ["LINK_NOT_POSSIBLE"]} == codes(found)
    assert "no field for an external id" in found[1][0].text
    assert "the portal knows no entity type 999" in found[2][0].text


def test_an_item_of_somebody_else_is_found_by_its_own_pair() -> None:
    """Also where a line of the file makes it."""
    lines = [
        record(1, "a", originId="77", originatorId="shop"),
        record(5, "88", originatorId="shop"),
        record(6, "e", to("88", originatorId="shop")),
        record(2, "b", to("77", originatorId="shop")),
        record(3, "c", to("77", originatorId="other")),
        record(4, "d", to("a")),
    ]
    assert {3: ["LINK_NOT_FOUND"]} == codes(told(lines))


def test_what_cannot_be_asked_is_not_judged() -> None:
    """Whether the portal is gone, or only this type may not be read."""
    gone, denied = ScriptedPortal(), ScriptedPortal()
    gone.look_up_faults.append(BARRED)
    denied.look_up_faults.append(DENIED)
    lines = [record(1, "a", to("old")), record(2, "b", to("a"))]
    assert [Level.UNJUDGED, Level.UNJUDGED] == [
        each.level for several in told(lines, gone).values() for each in several
    ]
    assert {1: [Level.UNJUDGED]} == {
        line: [each.level for each in several] for line, several in told(lines, denied).items()
    }


def test_what_was_forgotten_is_no_proof_that_a_link_leads_nowhere() -> None:
    """In a file that is longer than what is remembered of it."""
    lines = [record(n, f"e{n}") for n in range(1, 6)]
    found = told([*lines, record(9, "z", to("e1"))], identities=Identities(remembered=3))
    assert [Level.UNJUDGED] == [each.level for each in found[9]]
