"""Knows the fields that the portal's documentation lists for imports, by entity type.

The portal's own list (`crm.item.fields`) may have more; `publish` asks no portal.
"""

from collections.abc import Mapping
from functools import cache
from types import MappingProxyType

import jiter

from service.domain.fields import Field, complaints, sentences
from service.domain.nearest import nearest

MULTIFIELDS = frozenset({"PHONE", "EMAIL", "WEB", "IM"})
"""Fields of leads, contacts and companies that take several values, each with its kind."""
MIN_SMART_PROCESS = 128
_COMPANY = 4
_SMART_PROCESS = -1
_UTM = "utmSource utmMedium utmCampaign utmContent utmTerm"
_ALWAYS = "createdTime updatedTime movedTime createdBy updatedBy movedBy assignedById opened"
_MONEY = "currencyId isManualOpportunity opportunity"
_ORIGIN = f"originatorId originId {_UTM}"
_PARTY = "companyId contactId contactIds"
_PERSON = "honorific name secondName lastName birthdate post sourceId sourceDescription comments"
_INVOICE = (
    f"title xmlId webformId begindate closedate {_PARTY} observers stageId sourceId "
    f"sourceDescription {_MONEY} taxValue mycompanyId"
)
_BY_TYPE: Mapping[int, str] = MappingProxyType(
    {
        1: f"{_PERSON} title companyTitle stageId statusDescription {_MONEY} {_PARTY} webformId "
        f"observers {_ORIGIN}",
        2: "title typeId categoryId stageId isRecurring probability taxValue quoteId begindate "
        f"closedate comments sourceId sourceDescription leadId additionalInfo observers {_MONEY} "
        f"{_PARTY} locationId {_ORIGIN}",
        3: f"{_PERSON} photo typeId export companyId companyIds leadId originVersion observers "
        f"{_ORIGIN}",
        4: "title typeId logo bankingDetails industry employees currencyId revenue comments "
        f"isMyCompany contactIds leadId originVersion observers {_ORIGIN}",
        7: "title content terms comments dealId leadId storageTypeId storageElementIds webformId "
        f"{_PARTY} locationId {_MONEY} taxValue stageId begindate closedate actualDate "
        f"mycompanyId {_UTM}",
        31: f"{_INVOICE} comments locationId",
        _SMART_PROCESS: f"{_INVOICE} categoryId comments {_UTM}",
    }
)
_NAMES = MappingProxyType(
    {1: "lead", 2: "deal", 3: "contact", 4: "company", 7: "estimate", 31: "invoice"}
)
_WITH_PHONES = frozenset({1, 3, 4})
_KINDS = MappingProxyType(
    {
        "double": "opportunity taxValue revenue",
        "integer": "probability",
        "boolean": "opened isManualOpportunity isRecurring export isMyCompany",
        "date": "birthdate begindate closedate actualDate",
        "datetime": "createdTime updatedTime movedTime",
        "user": "assignedById createdBy updatedBy movedBy observers",
        "crm_category": "categoryId",
        "crm_company": "companyId companyIds mycompanyId",
        "crm_contact": "contactId contactIds",
        "crm_lead": "leadId",
        "crm_deal": "dealId",
        "crm_quote": "quoteId",
        "file": "photo logo",
    }
)
LISTS = frozenset({"companyIds", "contactIds", "observers", "storageElementIds"})
"""Fields that take several ids."""
_OWN = "ufcrm", "uf_crm", "parentid"
"""Prefixes of fields that an administrator made; no documentation lists them."""
_TITLES: Mapping[str, str] = MappingProxyType(
    {
        "title": "Название, Название сделки, Название лида, Тема счёта, Deal name, Lead name, "
        "Item name, Invoice name, Subject",
        "opportunity": "Сумма, Сумма сделки, Amount, Total, Total amount, Price, Value",
        "currencyId": "Валюта, Currency",
        "stageId": "Стадия, Стадия сделки, Статус, Stage, Deal stage, Status",
        "categoryId": "Направление, Воронка, Pipeline, Funnel",
        "typeId": "Тип, Тип сделки, Тип контакта, Тип компании, Deal type, Type",
        "assignedById": "Ответственный, Responsible, Responsible person, Owner, Assignee",
        "companyId": "Компания, Company",
        "companyTitle": "Название компании, Company name",
        "contactId": "Контакт, Contact",
        "comments": "Комментарий, Комментарии, Comment, Notes",
        "begindate": "Дата начала, Start date",
        "closedate": "Дата завершения, Предполагаемая дата закрытия, End date, Close date, "
        "Expected close date",
        "probability": "Вероятность, Probability",
        "sourceId": "Источник, Source",
        "sourceDescription": "Дополнительно об источнике, Source information",  # noqa: RUF001 - Russian
        "opened": "Доступен для всех, Доступна для всех, Available to everyone",
        "name": "Имя, First name",
        "lastName": "Фамилия, Last name, Surname",
        "secondName": "Отчество, Second name, Middle name",
        "honorific": "Обращение, Salutation",
        "birthdate": "Дата рождения, Birthday, Date of birth",
        "post": "Должность, Position, Job title",
        "industry": "Сфера деятельности, Industry",
        "employees": "Кол-во сотрудников, Employees",
        "revenue": "Годовой оборот, Annual revenue",
        "PHONE": "Телефон, Рабочий телефон, Phone, Work phone, Telephone",
        "PHONE.MOBILE": "Мобильный телефон, Мобильный, Mobile, Mobile phone, Cell",
        "EMAIL": "Рабочий e-mail, Почта, E-mail, Work e-mail, Mail",
        "EMAIL.HOME": "Частный e-mail, Home e-mail",
        "WEB": "Сайт, Корпоративный сайт, Website, Corporate website, Site, URL",
        "IM": "Мессенджер, Messenger",
        "createdTime": "Дата создания, Created, Created on",
        "createdBy": "Кем создан, Кем создана, Created by",
    }
)
"""Titles of fields in the portal's pages and exports, in Russian and English."""

_KIND_NAMES = (("PHONE", "MOBILE"), ("EMAIL", "HOME"))


def type_name(entity_type: int) -> str:
    """Return what people call an entity type."""
    return _NAMES.get(entity_type, f"smart process {entity_type}")


@cache
def _documented(key: int) -> Mapping[str, Field]:
    names = [*_BY_TYPE[key].split(), *_ALWAYS.split()]
    if key in _WITH_PHONES:
        names += MULTIFIELDS
    kinds = {name: kind for kind, those in _KINDS.items() for name in those.split()}
    return {name: Field(kinds.get(name, "string"), multiple=name in LISTS) for name in names}


def fields_of(entity_type: int) -> Mapping[str, Field] | None:
    """Return the documented fields of a type; None where there is no documentation."""
    key = _SMART_PROCESS if entity_type >= MIN_SMART_PROCESS else entity_type
    return _documented(key) if key in _BY_TYPE else None


def may_be_own(name: str) -> bool:
    """Tell whether a name is that of a field of the portal's own, which only it can judge."""
    return name.lower().startswith(_OWN)


def meant(name: str, entity_type: int) -> str | None:
    """Return the field that a name, or a title of the portal's pages, most likely means."""
    known = fields_of(entity_type) or {}
    fits = {*known, *(f"{base}.{kind}" for base, kind in _KIND_NAMES if base in known)}
    by_title = {
        title.strip().casefold(): field
        for field, titles in _TITLES.items()
        for title in titles.split(",")
        if field in fits
    }
    if entity_type == _COMPANY:
        by_title |= dict.fromkeys(("название компании", "company name"), "title")
    return by_title.get(name.casefold()) or nearest(name, fits)


def value_warnings(entity_type: int, fields: bytes | memoryview) -> tuple[str, ...]:
    """Return what the portal would read otherwise than it is written, in documented fields."""
    known = fields_of(entity_type)
    if known is None:
        return ()
    try:
        read = jiter.from_json(bytes(fields), float_mode="decimal")
    except ValueError:
        # An exponent beyond all bounds is no decimal number.
        read = jiter.from_json(bytes(fields))
    given = {name: value for name, value in read.items() if name in known}
    return sentences(complaints(given, known))
