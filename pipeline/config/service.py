"""Who may look at a run while it goes on, and who may change it."""

from __future__ import annotations

from typing import Annotated

from pydantic import AfterValidator, Field

from vidan.pipeline.config.model import Model
from vidan.pipeline.config.values import Whole

SHORTEST_TOKEN = 16


def _check_token(text: str) -> str:
    if len(text) < SHORTEST_TOKEN or not text.isascii() or not text.isprintable() or " " in text:
        raise ValueError(
            f"should have {SHORTEST_TOKEN} or more letters, digits and signs without spaces: `openssl rand -hex 24`"
        )
    return text


class ServiceConfig(Model):
    """Health, readiness and metrics of the run over HTTP; docs/live.md describes them."""

    host: Annotated[str, Field(min_length=1)] = "127.0.0.1"
    """Address to listen on; 127.0.0.1: only this machine can ask; 0.0.0.0: everybody who reaches it."""

    port: Annotated[Whole, Field(ge=0, le=65535)] = 9464
    """TCP port; 0: any that is free, which is logged."""

    token: Annotated[str, AfterValidator(_check_token)] | None = None
    """Who sends it may stop the run and have its rules read again, best as `${VIDAN_TOKEN}`; null: nobody may."""
