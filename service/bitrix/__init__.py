"""Speaks to the Bitrix24 portal."""
