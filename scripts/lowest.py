"""Print the lowest versions that setup.cfg allows, as constraints for pip: ``make lowest``.

The tools of the extras ``dev`` and ``docs`` are left at their newest: users do not install them.
"""

import configparser
import re
from pathlib import Path

SETUP = Path(__file__).parents[1] / "setup.cfg"
TOOLS = ("dev", "docs")


def lowest(setup: Path) -> list[str]:
    """Return ``name==version`` for every lower bound of the package and of its users' extras."""
    parser = configparser.ConfigParser()
    parser.read(setup)
    extras = parser["options.extras_require"]
    listed = [parser["options"]["install_requires"]]
    listed += [text for name, text in extras.items() if name not in TOOLS]
    return [_pin(line) for text in listed for line in text.split("\n") if line]


def _pin(requirement: str) -> str:
    bound = re.match(r"([\w-]+)>=([\w.]+)", requirement)
    if bound is None:
        raise ValueError(f"setup.cfg gives no lower bound: {requirement}")
    return f"{bound[1]}=={bound[2]}"


if __name__ == "__main__":
    print("\n".join(lowest(SETUP)))
