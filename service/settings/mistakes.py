"""Says in plain words what is wrong with the value of a setting; never the value itself."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

_WORDS: Mapping[str, str] = MappingProxyType(
    {
        "int_type": "must be a whole number",
        "int_parsing": "must be a whole number",
        "int_parsing_size": "must be a shorter whole number",
        "int_from_float": "must be a whole number",
        "float_type": "must be a number",
        "float_parsing": "must be a number, such as 2 or 0.5",
        "finite_number": "must be a number, and not infinite",
        "bool_type": "must be true or false",
        "bool_parsing": "must be true or false",
        "greater_than": "must be above {gt:.15g}",
        "greater_than_equal": "must be at least {ge:.15g}",
        "less_than": "must be below {lt:.15g}",
        "less_than_equal": "must be at most {le:.15g}",
        "string_too_short": "must have at least {min_length} characters",
        "string_too_long": "must have at most {max_length} characters",
        "too_short": "must have at least {min_length} characters",
        "too_long": "must have at most {max_length} characters",
        "json_invalid": 'must be JSON, such as {{"7": "ufCrm_123"}}',
        "json_type": 'must be JSON, such as {{"7": "ufCrm_123"}}',
        "dict_type": 'must be a JSON object, such as {{"7": "ufCrm_123"}}',
        "string_pattern_mismatch": "must name a field in camelCase, such as ufCrm_123",
    }
)
"""The sentence for each kind of mistake that the validating library knows, with its figures."""


def in_words(error: Mapping[str, Any]) -> str:
    """Return what is wrong, of an error that the validating library describes."""
    kind, figures = error["type"], error.get("ctx") or {}
    if kind == "literal_error":
        return "must be one of: " + str(figures["expected"]).replace("'", "").replace(" or ", ", ")
    if kind in _WORDS:
        return _WORDS[kind].format(**figures)
    text = str(error["msg"]).removeprefix("Value error, ")
    return text[:1].lower() + text[1:]
