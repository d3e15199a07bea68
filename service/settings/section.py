"""What every group of settings has in common."""

from pydantic import BaseModel, ConfigDict, ValidationInfo, field_validator

from service.settings.shapes import in_its_case


class Section(BaseModel):
    """A group of settings; its name is the part before `__`."""

    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)

    @field_validator("*", mode="before")
    @classmethod
    def _any_case(cls, value: object, info: ValidationInfo) -> object:
        return in_its_case(value, cls.model_fields[info.field_name or ""].annotation)
