"""The figures of a run by name, each drawn when it is asked for."""

from collections.abc import Callable, Iterator, Mapping

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from net2vec_pl.errors import unknown


class Plot:
    """One figure: call it to draw it.

    Args:
        recipe: What draws it; it must take ``axes`` for the figure to be drawn on any.
    """

    def __init__(self, recipe: Callable[..., Figure]) -> None:
        self._recipe = recipe

    def __call__(self, axes: Axes | None = None) -> Figure:
        """Draw the figure.

        Args:
            axes: Where to draw; a new figure if None. A figure of several panels takes the place of
                these axes, which must stand in a grid, such as those of ``plt.subplots``.

        Returns:
            The new figure, which a notebook shows at the end of a cell; or that of the axes.
        """
        return self._recipe() if axes is None else self._recipe(axes=axes)


class Plots(Mapping[str, Plot]):
    """The figures of a run by name, as attributes or as items; each is drawn when it is called.

    Names are those of the files in ``figures/``.

    Args:
        recipes: What draws each figure.

    Example:
        >>> plots = Plots({"levels": partial(reference_levels, ["sky"], level, probes)})
        ... # doctest: +SKIP
        >>> plots.levels()  # a new figure  # doctest: +SKIP
        >>> figure, (left, right) = plt.subplots(1, 2)  # doctest: +SKIP
        >>> plots.levels(left), plots["map_tsne"](right)  # doctest: +SKIP
    """

    def __init__(self, recipes: Mapping[str, Callable[..., Figure]]) -> None:
        self._recipes = dict(recipes)

    def __getitem__(self, name: str) -> Plot:
        if name not in self._recipes:
            raise KeyError(unknown("figure", name, self))
        return Plot(self._recipes[name])

    def __iter__(self) -> Iterator[str]:
        return iter(self._recipes)

    def __len__(self) -> int:
        return len(self._recipes)

    def __getattr__(self, name: str) -> Plot:
        if name.startswith("_"):  # asked for before there are recipes, by pickle say
            raise AttributeError(name)
        if name not in self._recipes:
            raise AttributeError(unknown("figure", name, self))
        return self[name]

    def __dir__(self) -> list[str]:
        return [*super().__dir__(), *self]

    def __repr__(self) -> str:
        return f"Plots({', '.join(self)})"

    def _ipython_key_completions_(self) -> list[str]:
        return list(self)
