"""Every hyper-parameter of a training run, as a YAML file says it.

Defaults are the published YOLOv9 recipe (arXiv 2402.13616, appendix) without copy-paste, which needs outlines.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from vidan.detector.data.augment import Augmentation
from vidan.detector.models.variant import PUBLISHED, Pgi, Variant
from vidan.detector.models.zoo import MODEL_NAMES, size_of

Positive = Annotated[int, Field(ge=1)]


class RecipeError(ValueError):
    """A recipe asks for what this network, these weights or this number of processes do not have."""


class Recipe(BaseModel):
    """A training run; unknown keys are errors.

    On a CPU the same recipe, data set and machine give the same weights: everything random follows from `seed`. A GPU
    adds up in an order of its own.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    model: str = Field(default="yolov9-t", description=f"Network: {', '.join(MODEL_NAMES)}.")
    pgi: Pgi = Field(
        default="full",
        description="Auxiliary branch of training: none, deep (plain deep supervision) or full (programmable gradient "
        "information as published). Weights and inference are the same without it.",
    )
    auxiliary_weight: float = Field(default=0.25, ge=0, description="Weight of the auxiliary head in the loss.")
    gelan: Variant = Field(
        default=PUBLISHED, description="Stages: block csp, res, dark or conv; block_depth and elan_depth."
    )
    data: Path = Field(description="Data set file, relative to the recipe.")
    weights: Path | None = Field(
        default=None, description="Weights to start from (.safetensors); fresh ones without it."
    )
    classes_from: dict[str, str] = Field(
        default={},
        description="Classes that these weights know by another name, ours -> theirs. Equal names need no word; "
        "classes that they do not know start fresh.",
    )
    freeze: tuple[str, ...] = Field(
        default=(), description="Stages that do not learn, such as column (the backbone) or column.stem1."
    )
    image_size: tuple[Positive, Positive] = Field(
        default=(640, 640), description="Input height and width, multiples of 32."
    )
    epochs: Positive = 500
    multi_scale: float = Field(
        default=0.0, ge=0, lt=1, description="Each batch gets a size of its own, up to this share larger or smaller."
    )
    batch: Positive = Field(default=16, description="Images per forward pass, shared by all processes.")
    nominal_batch: Positive = Field(
        default=64, description="Images per optimizer step; gradients are accumulated up to it."
    )

    optimizer: Literal["sgd", "adamw"] = "sgd"
    learning_rate: float = Field(default=0.01, gt=0)
    final_factor: float = Field(default=0.01, gt=0, le=1, description="Last learning rate as a share of the first.")
    schedule: Literal["linear", "cosine", "flat-cosine", "constant"] = "linear"
    momentum: float = Field(default=0.937, ge=0, lt=1, description="Nesterov momentum of SGD, first beta of AdamW.")
    weight_decay: float = Field(default=5e-4, ge=0)
    warmup_epochs: float = Field(default=3.0, ge=0)
    warmup_momentum: float = Field(default=0.8, ge=0, lt=1)
    warmup_bias_rate: float = Field(
        default=0.1, ge=0, description="Learning rate of the biases at the first iteration."
    )
    clip_norm: float = Field(default=10.0, gt=0, description="Largest norm of all gradients together.")

    ema_decay: float = Field(default=0.9999, ge=0, lt=1)
    ema_warmup_updates: float = Field(
        default=2000.0, gt=0, description="Updates until the average reaches 63 % of its decay."
    )
    augmentation: Augmentation = Augmentation()
    close_mosaic_epochs: int = Field(default=15, ge=0, description="Last epochs without mosaic and mixup.")

    seed: int = Field(default=0, ge=0)
    workers: int = Field(default=2, ge=0, description="Processes that prepare images.")
    device: str = Field(default="auto", pattern=r"^(auto|cpu|cuda(:\d+)?)$", description="auto, cpu, cuda or cuda:N.")
    precision: Literal["auto", "fp32", "bf16", "fp16"] = Field(
        default="auto", description="Of forward and backward passes; auto is bf16 (or fp16) on a GPU, fp32 on a CPU."
    )
    checkpoint_seconds: float = Field(
        default=300.0, gt=0, description="Between checkpoints within an epoch; each epoch ends with one."
    )
    evaluate_every: int = Field(default=1, ge=0, description="Epochs between evaluations; 0 evaluates only the last.")
    patience: Positive = Field(default=100, description="Epochs without a better result until the run stops early.")

    tensorboard: bool = Field(default=False, description="Write curves for TensorBoard: pip install 'vidan[train]'.")
    licence: str = Field(default="unknown", description="Licence of the trained weights, as far as the data allow one.")
    training_data: str = Field(default="", description="One sentence about the data for the weights card.")

    @field_validator("model")
    @classmethod
    def _known_model(cls, name: str) -> str:
        size_of(name)
        return name

    @field_validator("image_size")
    @classmethod
    def _whole_cells(cls, size: tuple[int, int]) -> tuple[int, int]:
        if size[0] % 32 or size[1] % 32:
            raise ValueError(f"image_size must be multiples of 32, got {size[0]}x{size[1]}")
        return size

    @model_validator(mode="after")
    def _mosaic_closes_within_the_run(self) -> Recipe:
        if self.close_mosaic_epochs > self.epochs:
            raise ValueError(f"close_mosaic_epochs ({self.close_mosaic_epochs}) is more than epochs ({self.epochs})")
        return self

    @model_validator(mode="after")
    def _patience_sees_evaluations(self) -> Recipe:
        if self.patience < self.epochs and not 1 <= self.evaluate_every <= self.patience:
            raise ValueError(
                f"patience ({self.patience}) needs evaluations to judge by: evaluate_every ({self.evaluate_every}) "
                f"must be 1 to {self.patience}, or patience as large as epochs ({self.epochs})"
            )
        return self
