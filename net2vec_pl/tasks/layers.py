"""``task=layers``: the layers of a network that ``layer=`` can name."""

from typing import Any

from net2vec_pl.config import Config
from net2vec_pl.config.known import check_options
from net2vec_pl.config.plan import Plan
from net2vec_pl.errors import ConfigError, unknown
from net2vec_pl.report.network_layers import print_layers

_SHOW = ("named", "all")


def layers(config: Config) -> None:
    """Print the layers of the network of ``model=``.

    Args:
        config: The composed tree of conf/, with ``task=layers``.

    Raises:
        ConfigError: If an option of the task cannot be used.
        BackboneError: If there is no such network, or it has no such layer, or cannot take such an
            image.
    """
    check_options(config, ("image_size", "show"))
    size = _image_size(config.image_size)
    if config.show not in _SHOW:
        raise ConfigError(unknown("value of show", str(config.show), _SHOW))
    plan = Plan(config)
    print_layers(
        plan.network.build(size),
        plan.network.name,
        size,
        plan.layers,
        default=config.layer == config.model.default_layer,
        everything=config.show == "all",
        vectors=config.target == "classification",
    )


def _image_size(given: Any) -> tuple[int, int]:
    """Read an option that is one number, or ``[height,width]``."""
    alone = given is None or isinstance(given, int | float | str)
    sides: list[Any] = [given, given] if alone else list(given)
    if len(sides) != 2 or not all(type(side) is int and side > 0 for side in sides):
        raise ConfigError(
            f"image_size={given} must be a number of pixels above 0, or two: [height,width]."
        )
    return sides[0], sides[1]
