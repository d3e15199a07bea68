"""Lists lines of files as people send them, good and bad, to be rehearsed and to be imported."""

import json
from collections.abc import Mapping, Sequence
from typing import Any

PORTAL: Mapping[str, Any] = {
    "required": {"3": ["name"]},
    "user_fields": {
        "2": {
            "ufCrmTags": {"type": "string", "multiple": True},
            "ufCrmWhen": {"type": "datetime", "multiple": True},
            "ufCrmPapers": {"type": "file", "multiple": True},
        },
        "1032": {"ufCrmNeed": {"type": "string", "required": True}},
    },
}
"""A portal that demands names of contacts, and has fields of its own for deals."""

_PHONE = {"VALUE": "+100", "VALUE_TYPE": "WORK"}
DEALS: Sequence[Mapping[str, Any]] = (
    {},
    {"titel": "misspelt"},
    {"TITLE": "x"},
    {"fm": [{"VALUE": "+1"}]},
    {"id": 55},
    {"title": "x" * 300},
    {"title": ["a", "b"]},
    {"title": None},
    {"title": 89701010000000000000},
    {"opened": 1},
    {"opened": "yes"},
    {"opened": "y"},
    {"opened": {"Y": 1}},
    {"begindate": "31/01/2026"},
    {"begindate": "31.01.2026"},
    {"begindate": "2026-02-31"},
    {"begindate": "2026-01-31T10:00:00+03:00"},
    {"begindate": 1769817600},
    {"opportunity": "1200,50"},
    {"opportunity": "1 200,50"},
    {"opportunity": "12 pcs"},
    {"opportunity": "1200.50"},
    {"opportunity": 1.5e300},
    {"assignedById": "Ada"},
    {"assignedById": [5]},
    {"contactIds": "5,6"},
    {"contactIds": 5},
    {"contactIds": [5, "Ada"]},
    {"parentId128": "Acme"},
    {"PHONE": [_PHONE]},
    {"companyId": 7},
    {"companyId": -7},
    {"companyId": "-7 and more"},
    {"leadId": "-0.5"},
    {"contactId": -1},
    {"mycompanyId": -1},
    {"ufCrmTags": "one"},
    {"ufCrmTags": 1},
    {"ufCrmTags": 1.5},
    {"ufCrmTags": True},
    {"ufCrmTags": None},
    {"ufCrmTags": ["one"]},
    {"ufCrmTags": {"a": "one"}},
    {"ufCrmTags": []},
    {"ufCrmWhen": "2026-01-31"},
    {"ufCrmWhen": ["2026-01-31", "soon"]},
    {"ufCrmPapers": [["a.png", "aGk="], ["b.png", "data:,x"]]},
    {"ufCrm_unheard": "of"},
    {"originId": None},
    {"originId": ""},
    {"originId": "theirs-1"},
    {"originId": "theirs-2", "originatorId": "shop"},
    {"originId": "\N{GRINNING FACE}"},
    {"originId": ["odd"]},
    {"originId": 4711},
    {"createdTime": "2100-01-01T00:00:00+00:00"},
    {"createdTime": "not a time"},
    {"updatedTime": "2100-01-01"},
    {"updatedTime": "2001-01-01"},
    {"createdBy": 1},
    {"movedTime": "2001-01-01"},
)
"""Fields of deals; a title is added to those without."""

CONTACTS: Sequence[Mapping[str, Any]] = (
    {"name": "A"},
    {"name": ""},
    {"name": []},
    {"lastName": "B"},
    {"name": "A", "PHONE": [_PHONE]},
    {"name": "A", "PHONE": "+100"},
    {"name": "A", "PHONE": ["+100"]},
    {"name": "A", "PHONE": _PHONE},
    {"name": "A", "PHONE": [{"value": "+100", "valueType": "WORK"}]},
    {"name": "A", "photo": ["a.png", "data:image/png;base64,aGk="]},
    {"name": "A", "photo": ["a.png", "aGk="]},
)

TYPES: Sequence[tuple[object, Mapping[str, Any]]] = (
    (1, {"title": "lead"}),
    (1, {"PHONE.MOBILE": "+1"}),
    (4, {"title": "company"}),
    (7, {"title": "estimate"}),
    (31, {"title": "invoice", "xmlId": "their-invoice"}),
    (128, {"title": "smart"}),
    (1032, {"title": "smart"}),
    (1032, {"title": "smart", "ufCrmNeed": "here"}),
    (999, {"title": "of a type that is nowhere"}),
    (555, {"title": "of another one"}),
    ("2", {"title": "a type in quotes"}),
    ("31", {"xmlId": 12345}),
    (True, {"title": "no type"}),
    (0, {"title": "no type"}),
    (2147483648, {"title": "no type"}),
    ("two", {"title": "no type"}),
    (None, {"title": "no type"}),
)

BODIES: Sequence[bytes] = (
    b"x",
    b"[",
    b"{}",
    b"1",
    b"null",
    b'"text"',
    b'{"entityTypeId":2,"fields":{}}',
    b'{"entityTypeId":2,"fields":[]}',
    b'{"entityTypeId":2,"fields":null}',
    b'{"entityTypeId":2,"fields":"title"}',
    b'{"entityTypeId":2,"fields":{"a":NaN}}',
    b'{"entityTypeId":2,"fields":{"a":1e400}}',
    b'{"entityTypeId":2,"fields":{"a":-Infinity}}',
    b'{"entityTypeId":2,"fields":{"a":"\\ud800"}}',
    b'{"entityTypeId":2,"fields":{"a":{"b":1,"b":1}}}',
    b'{"entityTypeId":2,"entityTypeId":2,"fields":{"a":1}}',
    b'{"entityTypeId":2,"fields":{"a":01}}',
    b'{"entityTypeId":2,"fields":{"a":"\xff"}}',
    b'{"entityTypeId":2,"fields":{"a":' + b"[" * 63 + b"]" * 63 + b"}}",
    b'{"entityTypeId":2,"useOriginalUfNames":"y","fields":{"title":"x"}}',
    b'{"entityTypeId":2,"useOriginalUfNames":1,"fields":{"title":"x"}}',
    b'{"entityTypeId":2,"id":true,"fields":{"title":"x"}}',
    b'{"entityTypeId":2,"id":["a"],"fields":{"title":"x"}}',
    b'{"entityTypeId":2,"id":"' + b"i" * 1001 + b'","fields":{"title":"x"}}',
    b'{"specversion":"1.0","id":"","source":"/s","data":{"entityTypeId":2,"fields":{"a":1}}}',
    b'{"specversion":"1.0","id":"c","source":"/s","data":7}',
    b'{"specversion":"1.0","id":"c","source":"/s","data_base64":"%%%"}',
    b'{"entityTypeID":2,"fields":{"title":"x"}}',
    b'{"entityTypeId":2,"action":"update","fields":{"title":"an unknown member"}}',
    b'{"entityTypeId":2,"useOriginalUfNames":"Y","fields":{"title":"x","UF_CRM_TAGS":"one"}}',
    b'{"entityTypeId":2,"useOriginalUfNames":"Y","fields":{"title":"x","UF_CRM_TAGS":["one"]}}',
    b'{"entityTypeId":2,"useOriginalUfNames":"Y","fields":{"title":"x","ufCrmTags":"one"}}',
    b'{"entityTypeId":2,"fields":{"title":"x","opportunity":1e-999}}',
    b'{"specversion":"1.0","id":"7","source":"/s","data":{"entityTypeId":2,"fields":{"title":"x"}}}',
)
"""Whole lines."""


def lines() -> list[bytes]:
    """Return every line; those that can have one bring an id of their own."""
    every: list[tuple[object, Mapping[str, Any]]] = [
        *((2, {"title": "x", **fields}) for fields in DEALS),
        *((3, fields) for fields in CONTACTS),
        *TYPES,
    ]
    made = [
        json.dumps({"entityTypeId": kind, "id": f"case-{at}", "fields": fields}).encode()
        for at, (kind, fields) in enumerate(every)
    ]
    return [*made, *BODIES]
