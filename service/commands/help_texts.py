"""Holds the texts below the help of commands, and fits them to the terminal."""

import argparse
import re
from collections.abc import Iterator
from itertools import groupby

from service.commands.text_layout import wrapped

_TERM = re.compile(r" +\S.*? {2,}(?=\S)")
"""What a line of a list begins with: a word, and the gap before what it means."""


class Layout(argparse.HelpFormatter):
    """Fills paragraphs to the width of the terminal; indented lines stay lines, to be copied."""

    def _fill_text(self, text: str, width: int, indent: str) -> str:
        return "\n".join(indent + line for line in _filled(text, width - len(indent)))


def _is_prose(line: str) -> bool:
    return bool(line) and line[0] != " "


def _filled(text: str, width: int) -> Iterator[str]:
    """Yield the lines of a text: paragraphs filled, meanings wrapped below their beginning."""
    for is_prose, lines in groupby(text.splitlines(), key=_is_prose):
        if is_prose:
            yield from wrapped(" ".join(lines), width)
            continue
        for line in lines:
            term = _TERM.match(line)
            if term is None:
                yield line
                continue
            rest = " " * term.end()
            yield from wrapped(line[term.end() :], width, first=term.group(), rest=rest)


TOP = """\
Settings come from the environment (IMPORTER_*). `run` needs at least:

  IMPORTER_RABBIT__URL=amqp://user:password@broker:5672/
  IMPORTER_BITRIX__WEBHOOK_URL=https://portal.bitrix24.com/rest/1/secret/

Any setting may be given as a file instead (mounted secrets): NAME_FILE=/path.
`crm-importer settings` lists all of them, `crm-importer check` tests them.
"""
PUBLISH = """\
examples:
  crm-importer publish deals.jsonl
  crm-importer publish leads.csv --entity-type 1 --id-column order
  crm-importer publish old.csv --entity-type 1 --encoding windows-1251
  generate | crm-importer publish -
  crm-importer publish --rehearse deals.jsonl

JSON: an item event on each line, or a list of them, on one line or many:
  {"entityTypeId": 2, "id": "order-1", "fields": {"title": "Order 1"}}
CloudEvents are read as well. An item that refers to another one names its event:
  {…, "links": {"contactId": {"entityTypeId": 3, "id": "customer-77"}}}

CSV: the first row names the fields, every other row is an item:
  order;title;opportunity;PHONE;PHONE.MOBILE
  order-1;Order 1;1200.50;+4930100;+49170100
Comma, semicolon, tab or | separate cells; a first line such as sep=; may choose
another character. Empty cells are left out. Values stay unchanged: write numbers
as 1200.50 and dates as 2026-01-31. PHONE, EMAIL, WEB and IM become phones and
addresses of kind WORK, or of the kind after the dot. contactIds, companyIds and
observers take several ids. A column contactId->3 holds ids of other events: the
field contactId gets the contact (entity type 3) that such an event imports.

Files may be UTF-8 or UTF-16, and packed with gzip. Name another encoding with
--encoding.

Give every item an id: --id-column in CSV, "id" in JSON. Without an id an item is known by its
content: two equal lines become one item, and a corrected line becomes a second item.

Bad lines are listed with their numbers; the others are published. A run that ends early says
where to continue (--after). You may publish an event again: it is imported once.

--rehearse publishes nothing and imports nothing. It asks the portal for its fields, for the
ids that are in the CRM already, and for the items of links, at the pace of its limits. It says
for every line what an import would do:
  would fail   not imported; shown with the error code of its result
  may fail     only the import itself will show it
  not judged   the portal could not be asked
  loss         imported, and the portal keeps less than was sent
  note         imported; something to know
It cannot see what the portal checks only at an import: rights, pipelines, currencies, and
fields that a stage requires. It needs the settings of the portal (IMPORTER_BITRIX__*) and no
broker. Exits 1 if a line would fail or could not be judged.
"""
DLQ = """\
examples:
  crm-importer dlq list
  crm-importer dlq show order-1017
  crm-importer dlq redrive --code 100 --set assignedById=1 --dry-run
  crm-importer dlq purge --older-than 90d

While a command reads letters, other readers do not see them. They come back when the command
ends, even if it is killed.
"""
FIND = """\
examples:
  crm-importer find order-1017
  crm-importer find order-1017 --type 2 --json
  crm-importer find '/shop order-1017'

It searches the memory, the dead letters, the queues of waiting events, and the portal (by
external id, and by the number of an item that the memory names). Without --type, it searches
the portal for the types that are built in, configured, or named in the other places. It cannot
search the intake queue: only the importer gets messages there.
"""
LANES = """\
examples:
  crm-importer lanes
  crm-importer lanes retry --type 128   # after the right was given
  crm-importer lanes fail --type 128    # if nobody needs these
  crm-importer lanes return             # before a roll-back, importer stopped

A lane is the events of one entity type. Events of a closed lane wait in a queue of their own.
The importer tries the lane again by itself and opens it when the portal takes an item; other
lanes are not affected. Queues: NAME.<type> for lanes, NAME.doubtful for events to be looked up
first, NAME.links for events that wait for linked items (NAME is
IMPORTER_RABBIT__PARKED_QUEUE).
"""
