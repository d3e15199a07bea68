"""Takes the clock out of the properties: how long an example lasts proves nothing."""

from hypothesis import settings

settings.register_profile("unit", deadline=None)
settings.load_profile("unit")
