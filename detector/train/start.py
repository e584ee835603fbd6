"""What a training starts from: the weights of another, its classes matched to ours by name, and frozen stages."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from torch import Tensor, nn

from vidan.detector.errors import WeightsError, near_miss
from vidan.detector.models.gelan import Gelan
from vidan.detector.train.recipe import RecipeError


def load_fitting(network: Gelan, state: Mapping[str, Tensor], class_rows: Mapping[int, int]) -> None:
    """Takes over every tensor whose name and shape fit; the others keep their values.

    Args:
        network: Is changed in place.
        state: Of another inference network.
        class_rows: Our class -> the other's that means the same; scores of these classes are taken over one by one
            where the hidden channels before them fit.

    Raises:
        WeightsError: If nothing fits.
    """
    own = network.state_dict()
    fitting = {name: value for name, value in state.items() if name in own and own[name].shape == value.shape}
    for name in _score_tensors(network):
        fitting.pop(name, None)  # equal shapes do not mean equal classes
        if name in state and state[name].shape[1:] == own[name].shape[1:]:
            rows = own[name].clone()
            for ours, theirs in class_rows.items():
                rows[ours] = state[name][theirs]
            fitting[name] = rows
    if not fitting:
        raise WeightsError(f"none of the {len(state)} tensors to start from fits this network")
    network.load_state_dict(fitting, strict=False)


def matching_classes(
    ours: Sequence[str], theirs: Sequence[str], renamed: Mapping[str, str], source: str
) -> dict[int, int]:
    """Our class number -> their class number, by equal names or as `renamed` says (ours -> theirs).

    Raises:
        RecipeError: If `renamed` names a class that is not there.
    """
    for own, other in renamed.items():
        for name, known, whose in ((own, ours, "the data set"), (other, theirs, source)):
            if name not in known:
                raise RecipeError(
                    f"classes_from: {whose} has no class {name!r}; {near_miss(name, known)}it has {', '.join(known)}"
                )
    wanted = {own: renamed.get(own, own) for own in ours}
    return {ours.index(own): theirs.index(other) for own, other in wanted.items() if other in theirs}


def freeze(network: Gelan, stages: Iterable[str]) -> Sequence[nn.Module]:
    """Stops the learning of stages and gives them, for their batch norms must stay in evaluation mode, too.

    Args:
        network: Is changed in place.
        stages: Names of modules, such as ``column`` or ``neck.top_down``.

    Raises:
        RecipeError: If there is no such stage.
    """
    known = {name: module for name, module in network.named_modules() if name}
    for name in stages:
        if name not in known:
            largest = ", ".join(name for name, _ in network.named_children())
            raise RecipeError(f"freeze: the network has no stage {name!r}; the largest are {largest}")
    modules = [known[name] for name in stages]
    for module in modules:
        module.requires_grad_(False)
    return modules


def _score_tensors(network: Gelan) -> list[str]:
    """Names of the last convolutions of the class branches, which have one row per class."""
    last = {id(parameter) for branch in network.head.scores for parameter in list(branch.children())[-1].parameters()}
    return [name for name, parameter in network.named_parameters() if id(parameter) in last]
