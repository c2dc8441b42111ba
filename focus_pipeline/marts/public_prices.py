"""Public prices of AI models: those of the package genai-prices, whose list comes with it."""

import re
from collections.abc import Iterator
from datetime import UTC, datetime
from decimal import Decimal
from functools import cache
from importlib import metadata
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from genai_prices.types import ModelInfo

PACKAGE = "genai-prices"

_PRICES = {
    "input": "input_mtok",
    "input and output": "input_mtok",
    "embedding": "input_mtok",
    "output": "output_mtok",
    "cache read": "cache_read_mtok",
    "cache write": "cache_write_mtok",
    "audio input": "input_audio_mtok",
    "audio output": "output_audio_mtok",
    "image input": "input_image_mtok",
    "image output": "output_image_mtok",
}

# Those who made a model come before those who sell it.
_PROVIDERS = ("openai", "anthropic", "google", "mistral", "cohere", "deepseek", "x-ai", "moonshotai", "aws", "azure")


def public_price(model: str, direction: str, month: str) -> Decimal | None:
    """USD per million tokens of a model, at its standard tier and shortest context; None if the list has no such price.

    model, direction: as Meter has them. month: `YYYY-MM`, at whose first day (UTC) the price holds.
    """
    if (name := _PRICES.get(direction)) is None or (found := _found(model)) is None:
        return None
    price = getattr(found.get_prices(datetime.strptime(month, "%Y-%m").replace(tzinfo=UTC)), name, None)
    return getattr(price, "base", price)


def edition_of_public_prices() -> str:
    """Changes with the list."""
    return metadata.version(PACKAGE)


@cache
def _found(model: str) -> "ModelInfo | None":
    # Imported here: loading the code location need not wait for its list.
    from genai_prices.data_snapshot import get_snapshot

    providers = {provider.id: provider for provider in get_snapshot().providers}
    for spelled in _spellings(model):
        for name in _PROVIDERS:
            if (found := providers[name].find_model(spelled)) is not None:
                return found
    return None


def _spellings(model: str) -> Iterator[str]:
    """A model's name as APIs spell it: meters write blanks, and dates without a year."""
    slug = re.sub(r"[^a-z0-9.]+", "-", model.lower())
    dashed = slug.replace(".", "-")
    yield from (slug, dashed)
    yield re.sub(r"-[0-9]{4}$", "", slug)
    yield f"amazon.{dashed}"
    yield f"meta.{dashed.replace('llama-', 'llama', 1)}-instruct-v1:0"
