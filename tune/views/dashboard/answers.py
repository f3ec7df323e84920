"""What the dashboard's endpoints answer with, as models: ``/openapi.json`` documents them."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel, ConfigDict, Field, create_model

from tune.storage.rows import COLUMNS, NUMBERS

_FLAGS = {
    "on_front": "on the front in all three objectives",
    "on_size_front": "on the front of accuracy against size",
    "on_bit_synops_front": "on the front of accuracy against Bit-SynOps",
}


class _Answer(BaseModel):
    model_config = ConfigDict(extra="forbid")


Trial = create_model(
    "Trial",
    __base__=_Answer,
    __doc__="One row of the table; a figure that is not known is null.",
    **{column: (float | None if column in NUMBERS else str | None, Field()) for column in COLUMNS},
    **{flag: (bool, Field(description=text)) for flag, text in _FLAGS.items()},
    val_interval=(float | None, Field(description="half the width of the accuracy's interval, points")),
    ties_with=(str | None, Field(description="of the front: a cheaper network that may be as accurate; empty if none")),
)  # type: ignore[call-overload]


class Reference(_Answer):
    """The worst corner, from which hypervolume is measured."""

    accuracy: float = Field(description="percent")
    size_bits: float = Field(description="of what the recipe means by size")
    bit_synops: float = Field(description="per input sample")


class Progress(_Answer):
    """Hypervolume after a trial ended that raised it."""

    epochs: float = Field(description="epochs that all trials had run by then")
    seconds: float = Field(description="seconds of trials by then, which may run beside each other")
    hypervolume: float
    trial: str | None


class Compared(_Answer):
    """A published network and what of ours it is held against."""

    method: str
    accuracy: float = Field(description="test accuracy, percent")
    model_size_bits: float | None
    bit_synops: float | None
    source: str
    own: bool = Field(description="of the paper that the method is from")
    relation: str = Field(description="dominated, dominates or neither; empty without a network of ours")
    ours: str = Field(description="the trial; empty if none")
    our_accuracy: float | None
    our_model_size_bits: float | None
    our_bit_synops: float | None


class Comparison(_Answer):
    """The front beside the published networks of its data set."""

    sentence: str
    networks: list[Compared]


class Listed(_Answer):
    """An experiment in the list."""

    name: str
    version: str = Field(description="changes whenever a file of the experiment does")
    states: dict[str, int] = Field(description="how many trials are in each state")
    error: str | None = Field(description="what is damaged")


class Experiments(_Answer):
    """All experiments of the storage."""

    experiments: list[Listed]
    error: str | None = Field(description="why the storage cannot be read now; what is listed is from before")


class Experiment(_Answer):
    """One experiment with all its trials."""

    name: str
    version: str
    recipe: dict[str, Any] | None = Field(description="what all trials share")
    reference: Reference | None
    hypervolume: float | None
    summary: list[str] = Field(description="sentences; the first alone where recipe or reference is not known")
    progress: list[Progress]
    points: list[dict[str, float | str | list[str] | None]] = Field(
        description="all points, seeds taken together: means, deviations as NAME_deviation, val_interval, the place on the "
        "front and the trials, the most accurate first; empty while no point has two finished seeds"
    )
    comparison: Comparison | None = Field(description="null where the recipe is not known, or none was asked for")
    trials: list[Trial]  # type: ignore[valid-type]
    error: str | None


class TrialDetails(_Answer):
    """One trial with what its row does not hold."""

    experiment: str
    trial: Trial  # type: ignore[valid-type]
    records: list[dict[str, Any]] = Field(description="metrics.jsonl: one object per epoch")
    genotype: dict[str, Any] | None = Field(description="the decoded network; null while the search runs")
    drawing: str | None = Field(description="the cell as one <svg> element")
    words: str | None = Field(description="the cell in words")
    notes: str | None = Field(description="what was out of the ordinary")
    model_bytes: int | None = Field(description="size of model.safetensors; null while there is none")
    errors: list[str] = Field(description="files that are damaged")


class Published(_Answer):
    """A network of the literature."""

    dataset: str
    method: str
    accuracy: float = Field(description="test accuracy, percent")
    model_size_mb: float | None
    bit_synops_m: float | None
    source: str


class PublishedNetworks(_Answer):
    """Networks of the literature."""

    networks: list[Published]


class Problem(_Answer):
    """Why there is no answer."""

    detail: str
