"""What a request may ask of a store, in the words of `lem results`."""

from typing import Annotated, Any

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field

from pytest_lem.analysis.metrics import HEADLINES
from pytest_lem.store.listing import PAGE
from pytest_lem.store.wanted import Wanted

MOST = 200
_LETTERS = 200


def _unless_empty(value: Any) -> Any:
    """A form sends a field that nobody filled in as no text."""
    return None if isinstance(value, str) and not value.strip() else value


_Short = Annotated[str, Field(max_length=_LETTERS)]
Text = Annotated[_Short | None, BeforeValidator(_unless_empty)]


class Chosen(BaseModel):
    """Conditions that all hold of the records; those left out are none."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    text: Annotated[
        Text, Field(description="Words of the experiment, model, backend or session.")
    ] = None
    backend: Text = None
    model: Text = None
    gpu: Annotated[Text, Field(description="The first GPU's name.")] = None
    label: Text = None
    session: Text = None
    verdict: Text = None
    flag: Text = None
    identity: Annotated[Text, Field(description="Or how it begins.")] = None
    since: Annotated[Text, Field(description="2026-01-31[T12:00] or later.")] = None
    until: Annotated[Text, Field(description="On this day or before.")] = None

    def wanted(self, limit: int | None = None) -> Wanted:
        """The same for a store."""
        names = Chosen.model_fields
        return Wanted(**{name: getattr(self, name) for name in names}, limit=limit)


class Picked(Chosen):
    """Those that are chosen of the keys, or of all."""

    key: Annotated[list[str], Field(max_length=MOST)] = []


class Listed(Chosen):
    """Some of the records that are chosen, in an order."""

    sort: Annotated[
        str,
        Field(
            description="started_at, experiment_id or a metric, which only those that "
            "have it are listed by; a minus: the largest first."
        ),
    ] = "-started_at"
    after: Annotated[
        Text, Field(description="Where the page before this one ended.")
    ] = None
    limit: Annotated[int, Field(ge=1, le=MOST)] = PAGE
    metric: Annotated[
        list[str], Field(max_length=20, description="Metrics to tell of each.")
    ] = list(HEADLINES)
