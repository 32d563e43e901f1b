"""The figures of a run by name, as attributes and as items."""

import copy
import pickle

import pytest
from matplotlib.figure import Figure
from support.recipes import ONE_PANEL, PANELS

from net2vec_pl.inference.plots import Plots

PLOTS = Plots({**ONE_PANEL, "examples_fire hydrant": PANELS["examples"]})


def of_its_own() -> Figure:
    return Figure(figsize=(3.0, 2.0))


def test_a_figure_is_drawn_when_it_is_called() -> None:
    first, second = PLOTS.levels(), PLOTS["levels"]()
    assert first is not second
    assert first.axes[0].get_title("left") == "All 12 differences from the reference level"
    assert PLOTS["examples_fire hydrant"]().get_suptitle() == "sky (outlined: ground truth)"


def test_a_figure_is_drawn_on_axes_given_by_place_or_by_name() -> None:
    figure = Figure()
    left, right = figure.subplots(1, 2)
    assert PLOTS.levels(left) is figure
    assert PLOTS["recall"](axes=right) is figure
    assert left.get_xlabel() == "set IoU on val"
    assert right.get_title() == "sky"


def test_names_are_those_of_a_mapping_and_complete() -> None:
    assert list(PLOTS) == [*ONE_PANEL, "examples_fire hydrant"]
    assert len(PLOTS) == len(ONE_PANEL) + 1
    assert "levels" in PLOTS
    assert "level" not in PLOTS
    assert PLOTS.get("level") is None
    assert {"levels", "recall", "keys"} <= {*dir(PLOTS)}
    assert PLOTS._ipython_key_completions_() == list(PLOTS)
    assert repr(Plots({name: PLOTS[name] for name in ("levels", "map")})) == "Plots(levels, map)"


def test_an_unknown_name_is_told_what_is_known() -> None:
    message = r"unknown figure 'level'\. Did you mean 'levels'"
    with pytest.raises(AttributeError, match=message):
        PLOTS.level  # noqa: B018
    with pytest.raises(KeyError, match=message):
        PLOTS["level"]
    assert not hasattr(PLOTS, "_level")
    assert not hasattr(Plots({}), "levels")


def test_copies_and_pickles_draw_the_same() -> None:
    for plots in (copy.deepcopy(PLOTS), pickle.loads(pickle.dumps(PLOTS))):
        assert list(plots) == list(PLOTS)
        assert plots.recall().axes[0].get_title() == "sky"


def test_a_figure_of_an_analysis_of_ones_own_need_not_take_axes() -> None:
    assert Plots({"own": of_its_own}).own().get_size_inches().tolist() == [3.0, 2.0]
