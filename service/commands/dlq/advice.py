"""Says for every failure what it means, who must act, and what to do."""

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

from service.domain.decisions import SMALLER, TOO_LARGE
from service.rabbit.letters import Letter, text

UPSTREAM = "the upstream system"
ADMINISTRATOR = "the portal's administrator"
OPERATOR = "the importer's operator"


BREAKING = (
    "call_timed_out",
    "connection_lost",
    "unreadable_answer",
    "internal_server_error",
    "http_500",
    "http_502",
    "http_503",
    "http_504",
)


REDRIVE = "dlq redrive --id=ID"
MEND = f"{REDRIVE} --set FIELD=VALUE"
PURGE = "dlq purge --id=ID"


@dataclass(frozen=True, slots=True)
class Advice:
    """What a failure means, who must act, what to do, and with which commands (of the id ID)."""

    meaning: str
    who: str
    action: str
    commands: tuple[str, ...] = (REDRIVE,)


_REQUIRED = Advice(
    "the portal requires a field that the item does not have",
    UPSTREAM,
    "send the field (the warnings may name a misspelt one), or set it now",
    (MEND,),
)
_VALUE = Advice(
    "the portal does not accept the value of a field",
    UPSTREAM,
    "correct the value, or set another one now",
    (MEND,),
)
_RIGHTS = Advice(
    "the credentials' user may not create this item",
    ADMINISTRATOR,
    "give the user the right to add items of this type (and in this pipeline), then redrive",
)
_PLAN = Advice(
    "the portal's plan does not allow items of this type",
    ADMINISTRATOR,
    "change the plan or free a slot in it, then redrive",
)
_TYPE = Advice(
    "the portal has no such entity type, or allows no import into it",
    f"{UPSTREAM} or {ADMINISTRATOR}",
    "correct entityTypeId and publish again, or create the type and redrive",
)
_HIDDEN = Advice(
    "a business process, an event handler or a database rule refused the item",
    ADMINISTRATOR,
    "read the message, correct what refuses the item, then redrive",
)

_BREAKS = Advice(
    "the call broke each time this item was tried alone, and the item is not in the CRM",
    f"{UPSTREAM} or {ADMINISTRATOR}",
    "look for unusual values in its fields, and for an automation of the portal that hangs; "
    "correct the cause, then redrive",
)
_LINK = Advice(
    "an item that the event names in `links` was not found",
    UPSTREAM,
    "see that the linked event is imported, then redrive; or set the item's number instead",
    (REDRIVE, f"{REDRIVE} --set FIELD=NUMBER"),
)
_TOO_LARGE = Advice(
    "the item is too large for the portal's server",
    f"{UPSTREAM} or {ADMINISTRATOR}",
    f"{SMALLER}; then publish it again or redrive it",
)

CODES: Mapping[str, Advice] = MappingProxyType(
    {
        "not_json": Advice(
            "the body is not strict JSON in UTF-8",
            UPSTREAM,
            "correct the sender and publish again; purge this one. A redrive fails again",
            (PURGE,),
        ),
        "wrong_shape": Advice(
            "the body is JSON, but not an item event",
            UPSTREAM,
            "correct the sender and publish again; purge this one. A redrive fails again "
            "unless --set corrects it",
            (PURGE, MEND),
        ),
        "message_too_large": Advice(
            "the body is larger than the importer accepts",
            f"{UPSTREAM} or {OPERATOR}",
            "send less, or raise IMPORTER_RABBIT__MAX_MESSAGE_BYTES and redrive",
        ),
        "unknown_encoding": Advice(
            "the importer does not know this content_encoding",
            UPSTREAM,
            "publish again without packing or with gzip; purge this one",
            (PURGE,),
        ),
        "validation_failed": Advice(
            "the importer refused the item (VALIDATION=reject): the portal would drop or "
            "change a field silently",
            f"{UPSTREAM} or {ADMINISTRATOR}",
            "correct the field that the message names and publish again; or add it to the "
            "portal and redrive ten minutes later; or set VALIDATION=warn and redrive",
        ),
        "crm_field_error_required": _REQUIRED,
        "bx_empty_required": _REQUIRED,
        "crm_field_error_value_not_valid": _VALUE,
        "crm_field_error_value_not_unique": Advice(
            "another item has this value already, and it must be unique",
            UPSTREAM,
            "look at the other item. If you need this one as well, redrive it with another value",
            (MEND, PURGE),
        ),
        "crm_field_error_category_not_available": Advice(
            "the pipeline (categoryId) does not exist, or the importer's user may not use it",
            f"{UPSTREAM} or {ADMINISTRATOR}",
            "set the right categoryId now, or give the user the pipeline and redrive",
            (f"{REDRIVE} --set categoryId=N", REDRIVE),
        ),
        "crm_field_error_products_not_fetched": Advice(
            "the portal could not load the products of the item", ADMINISTRATOR, "redrive once"
        ),
        "bx_invalid_value": _VALUE,
        "bx_error": _HIDDEN,
        "100": Advice(
            "a value has a type that the portal cannot read, such as text for a number",
            UPSTREAM,
            "correct the value that the message or the warnings name, or set another one now",
            (MEND,),
        ),
        "http_413": _TOO_LARGE,
        "access_denied": _RIGHTS,
        "crm_item_import_access_denied": _RIGHTS,
        "create_dynamic_item_restricted": _PLAN,
        "not_found": _TYPE,
        "entity_type_not_supported": _TYPE,
        "no_auth_found": Advice(
            "the portal found no credentials in the call, only with this item",
            UPSTREAM,
            "look for a field named `auth` or `access_token` in the item, then redrive",
        ),
        **dict.fromkeys(("0", *BREAKING), _BREAKS),
        "max_import_batch_size_exceeded": _TOO_LARGE,
        "link_not_found": _LINK,
        "link_not_possible": Advice(
            "items of the type that `links` names cannot be found by an external id",
            UPSTREAM,
            "set the item's number instead, now or in a new publish",
            (f"{REDRIVE} --set FIELD=NUMBER", PURGE),
        ),
        "ended_by_operator": Advice(
            "an operator ended what was parked (`lanes fail`)",
            OPERATOR,
            "redrive it once the portal takes its type again",
        ),
        "delivery_limit": Advice(
            "the importer received the message again and again and never settled it: it "
            "crashed, or held it too long",
            OPERATOR,
            "search the importer's log for the id; then redrive: the importer looks the item "
            "up first",
        ),
        "rejected": Advice(
            "another program rejected it from the intake queue",
            OPERATOR,
            "find the other consumer of the intake queue, then redrive",
        ),
        "expired": Advice(
            "the message waited longer than its time to live",
            OPERATOR,
            "remove the time to live (message or policy), then redrive",
        ),
        "maxlen": Advice(
            "the intake queue was full, and its policy drops messages",
            OPERATOR,
            "give the queue overflow=reject-publish, then redrive",
        ),
    }
)
"""Advice by code, in lower case."""

KINDS: Mapping[str, Advice] = MappingProxyType(
    {
        "malformed": Advice(
            "the message is not an item event",
            UPSTREAM,
            "correct the sender and publish again; purge this one",
            (PURGE,),
        ),
        "rejected": Advice(
            "the portal refused this item for its own content",
            f"{UPSTREAM} or {ADMINISTRATOR}",
            "correct what the message names, then redrive",
        ),
        "unsupported": _TYPE,
        "undelivered": Advice(
            "the broker itself put the message here",
            OPERATOR,
            "read the header x-death, correct the cause, then redrive",
        ),
    }
)
"""Advice by kind, for codes without advice of their own."""

AMBIGUOUS = Advice(
    "the item may be in the CRM already; the importer could not find out",
    OPERATOR,
    "search the portal for the item. If it is there, purge; if not, redrive (the importer "
    "looks once more)",
    (REDRIVE, PURGE),
)
AMBIGUOUS_ALONE = Advice(
    "the item may be in the CRM already; its type has no external id, so the importer cannot "
    "look it up",
    OPERATOR,
    "search the portal for the item. If it is there, purge; if not, redrive --resend-ambiguous",
    (f"{REDRIVE} --resend-ambiguous", PURGE),
)


def advice_on(letter: Letter, *, may_double: bool) -> Advice:
    """Return what to do about a letter; `may_double`: its item cannot be looked up."""
    if may_double:
        return AMBIGUOUS_ALONE
    if letter.kind == "ambiguous":
        return AMBIGUOUS
    if TOO_LARGE in text(letter.headers.get("import_error_message")):
        return _TOO_LARGE
    return CODES.get(letter.code.lower()) or KINDS.get(letter.kind) or KINDS["undelivered"]
