"""Classes of the user's own: what is loaded, and what is said of the others."""

from abc import ABC, abstractmethod
from pathlib import Path

import pytest

from net2vec_pl.errors import ConfigError
from net2vec_pl.extensions import load


class Animal(ABC):
    """What extensions of this test must be."""

    @abstractmethod
    def noise(self) -> str:
        """Say something."""


OWN = """
from {animals} import Animal

class Dog(Animal):
    def noise(self):
        return "bow-wow"

class Fish(Animal):
    pass

class Stone:
    pass

number = 3
"""


@pytest.fixture
def zoo(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """A module in a folder of its own."""
    (tmp_path / "own_zoo.py").write_text(OWN.format(animals=__name__))
    (tmp_path / "broken_zoo.py").write_text("1 / 0")
    monkeypatch.syspath_prepend(tmp_path)
    return "own_zoo"


def test_a_class_of_the_kind_is_loaded(zoo: str) -> None:
    found = load(Animal, f"{zoo}.Dog")  # type: ignore[type-abstract]
    assert found().noise() == "bow-wow"


@pytest.mark.parametrize(
    ("path", "message"),
    [
        ("Dog", "'Dog' must be an import path"),
        ("nowhere_zoo.Dog", "nowhere_zoo.Dog: cannot import 'nowhere_zoo' (ModuleNotFoundError"),
        ("broken_zoo.Dog", "cannot import 'broken_zoo' (ZeroDivisionError: division by zero)"),
        ("own_zoo.Dogg", "unknown Animal of own_zoo 'Dogg'. Did you mean 'Dog'? Known: Dog, Fish."),
        ("own_zoo.Stone", "own_zoo.Stone is no Animal: it must be a class that extends"),
        ("own_zoo.number", "own_zoo.number is no Animal"),
        ("own_zoo.Fish", "own_zoo.Fish does not define noise, a method of Animal"),
    ],
)
def test_anything_else_is_refused(zoo: str, path: str, message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        load(Animal, path)  # type: ignore[type-abstract]
    assert message in str(caught.value)
