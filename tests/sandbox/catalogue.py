"""Knows the portal's entity types and their fields."""

import re
from dataclasses import dataclass, replace
from functools import cache

from tests.sandbox.settings import Settings

INVOICE = 31
SMART_PROCESS = 128
TITLES = {1: "Lead", 2: "Deal", 3: "Contact", 4: "Company", 7: "Estimate", 31: "Invoice"}
SYSTEM_FIELDS = ("createdTime", "updatedTime", "movedTime", "createdBy", "updatedBy", "movedBy")
CUT_AT = 255
CUT_FIELDS = frozenset({"originId", "originatorId", "originVersion", "title"})

_SHARED = (
    "title assignedById opened comments sourceId sourceDescription stageId currencyId "
    "isManualOpportunity opportunity observers"
)
_UTM = "utmSource utmMedium utmCampaign utmContent utmTerm"
_ORIGIN = "originId originatorId"
_MULTIFIELDS = "PHONE EMAIL WEB IM"
_SMART = (
    f"{_SHARED} xmlId webformId begindate closedate companyId contactId contactIds categoryId "
    "taxValue mycompanyId"
)
_NAMES = {
    1: f"{_SHARED} {_UTM} {_ORIGIN} {_MULTIFIELDS} honorific name secondName lastName birthdate "
    "companyTitle statusDescription post companyId contactId contactIds webformId",
    2: f"{_SHARED} {_UTM} {_ORIGIN} typeId categoryId isRecurring probability taxValue companyId "
    "contactId contactIds quoteId begindate closedate leadId additionalInfo locationId",
    3: f"honorific name secondName lastName photo birthdate typeId sourceId sourceDescription "
    "post comments opened export assignedById companyId companyIds leadId originVersion observers "
    f"{_ORIGIN} {_UTM} {_MULTIFIELDS}",
    4: "title typeId logo bankingDetails industry employees currencyId revenue opened comments "
    "isMyCompany assignedById contactIds leadId originVersion observers "
    f"{_ORIGIN} {_UTM} {_MULTIFIELDS}",
    7: f"{_SHARED} {_UTM} content terms dealId leadId storageTypeId storageElementIds webformId "
    "companyId contactId contactIds locationId taxValue begindate closedate actualDate "
    "mycompanyId",
    31: f"{_SMART} locationId",
}
_TYPES = {
    "integer": "id webformId probability storageTypeId",
    "double": "opportunity taxValue revenue",
    "boolean": "opened isManualOpportunity isRecurring export isMyCompany",
    "date": "birthdate begindate closedate actualDate",
    "datetime": "createdTime updatedTime movedTime",
    "user": "assignedById observers createdBy updatedBy movedBy",
    "file": "photo logo",
    "location": "locationId",
    "crm_company": "companyId companyIds mycompanyId",
    "crm_contact": "contactId contactIds",
    "crm_lead": "leadId",
    "crm_deal": "dealId",
    "crm_quote": "quoteId",
    "crm_status": "stageId sourceId typeId honorific industry employees",
    "crm_category": "categoryId",
    "crm_currency": "currencyId",
    "crm_multifield": _MULTIFIELDS,
}
_TYPE_OF = {name: kind for kind, names in _TYPES.items() for name in names.split()}
_MULTIPLE = frozenset(f"contactIds companyIds observers storageElementIds {_MULTIFIELDS}".split())
_USER_FIELD = re.compile(r"ufCrm\d*_?\w+")
_PARENT_FIELD = re.compile(r"parentId\d+")


@dataclass(frozen=True, slots=True)
class Field:
    """Describes one field; `multiple` is None where nobody declared it either way."""

    name: str
    type: str = "string"
    multiple: bool | None = False
    required: bool = False
    read_only: bool = False

    def described(self, name: str) -> dict[str, object]:
        """Return the entry that `crm.item.fields` shows."""
        return {
            "type": self.type,
            "isRequired": self.required,
            "isReadOnly": self.read_only,
            "isImmutable": False,
            "isMultiple": bool(self.multiple),
            "isDynamic": self.name.startswith("ufCrm"),
            "title": self.name,
            "upperName": upper_name(name),
        }


class Catalogue:
    """Answers which types exist and what their fields are, under given settings."""

    def __init__(self, settings: Settings) -> None:
        """Read the types and fields out of the settings."""
        self._settings = settings
        self._fields = {number: self._declared(number) for number in settings.types}

    def __contains__(self, entity_type: int) -> bool:
        """Tell whether the portal has this entity type."""
        return entity_type in self._fields

    def fields(self, entity_type: int) -> dict[str, Field]:
        """Return the declared fields of a type by their camelCase name."""
        return self._fields[entity_type]

    def field(self, entity_type: int, name: str, *, original: bool) -> Field | None:
        """Find the field that a request means by a name, undeclared custom fields included."""
        found = self._fields[entity_type].get(name)
        if found is not None:
            return found
        if name.startswith("UF_"):
            if not original:
                return None
            name = camel_name(name)
            if name in self._fields[entity_type]:
                return self._fields[entity_type][name]
        return self._undeclared(name)

    def external_field(self, entity_type: int) -> str | None:
        """Name the field that carries other systems' ids in this type."""
        if entity_type in self._settings.external_fields:
            return self._settings.external_fields[entity_type]
        if entity_type == INVOICE or entity_type >= SMART_PROCESS:
            return "xmlId"
        return "originId" if "originId" in self._fields.get(entity_type, {}) else None

    def _undeclared(self, name: str) -> Field | None:
        if _PARENT_FIELD.fullmatch(name):
            return Field(name, "crm_entity")
        if self._settings.open_user_fields and _USER_FIELD.fullmatch(name):
            return Field(name, "mixed", multiple=None)
        return None

    def _declared(self, entity_type: int) -> dict[str, Field]:
        required = self._settings.required.get(entity_type, ())
        fields = dict(_system_fields(entity_type))
        for name, options in self._settings.user_fields.get(entity_type, {}).items():
            fields[name] = Field(
                name,
                type=options.get("type", "string"),
                multiple=options.get("multiple", False),
                required=options.get("required", False),
            )
        for name in required:
            fields[name] = replace(fields.get(name, Field(name)), required=True)
        return fields


@cache
def _system_fields(entity_type: int) -> dict[str, Field]:
    names = _NAMES.get(entity_type, _SMART).split()
    fields = {"id": Field("id", "integer", read_only=True)}
    for name in (*names, *SYSTEM_FIELDS):
        kind = _TYPE_OF.get(name, "string")
        read_only = name in SYSTEM_FIELDS
        fields[name] = Field(name, kind, multiple=name in _MULTIPLE, read_only=read_only)
    return fields


def title(entity_type: int, number: int) -> str:
    """Return the title that the portal gives an item without one."""
    return f"{TITLES.get(entity_type, 'Item')} #{number}"


@cache
def upper_name(name: str) -> str:
    """Turn `ufCrm44_1721` into `UF_CRM_44_1721` and `originId` into `ORIGIN_ID`."""
    if name.isupper():
        return name
    spaced = re.sub(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[a-z])(?=\d)", "_", name)
    return spaced.upper()


@cache
def camel_name(name: str) -> str:
    """Turn `UF_CRM_44_1721` into `ufCrm44_1721` and `UF_CRM_1721` into `ufCrm_1721`."""
    numbered = re.fullmatch(r"UF_CRM_(\d+)_(.+)", name)
    prefix, rest = (f"ufCrm{numbered[1]}", numbered[2]) if numbered else ("ufCrm", name[7:])
    for part in rest.lower().split("_"):
        prefix += part.capitalize() if part[:1].isalpha() else f"_{part}"
    return prefix
