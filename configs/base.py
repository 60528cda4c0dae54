"""What every configuration section shares: frozen, no unknown keys, no silent coercion of nonsense."""

from __future__ import annotations

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field


class Section(BaseModel):
    """A frozen part of the user's configuration; an unknown key is an error, never ignored."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False, str_strip_whitespace=True)


Name = Annotated[str, Field(min_length=1, max_length=100, pattern=r"^[A-Za-z0-9][A-Za-z0-9._/:+-]*$")]
"""An identifier that is safe in file names, tables and manifests."""

Reference = Annotated[str, Field(min_length=1, max_length=250, pattern=r"^[A-Za-z0-9/][A-Za-z0-9._/:@+-]*$")]
"""A container image, a Hugging Face id or a path."""

Share = Annotated[float, Field(ge=0.0, le=1.0)]
Positive = Annotated[float, Field(gt=0.0)]
NonNegative = Annotated[float, Field(ge=0.0)]
