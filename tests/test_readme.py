"""The README's commands compose, and its files exist."""

import re
import shlex
from pathlib import Path

import pytest
from support.cli import composed

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")
COMMANDS = re.findall(r"^python train\.py ?(.*?)(?:\s+#.*)?$", README, flags=re.MULTILINE)


@pytest.mark.parametrize("arguments", COMMANDS)
def test_every_command_of_the_readme_composes(arguments: str) -> None:
    overrides = [a for a in shlex.split(arguments) if not a.startswith("-")]
    for override in overrides:
        name, _, value = override.partition("=")
        for choice in value.split(",") if "-m" in arguments.split() else [value]:
            if name == "model" and not (ROOT / "conf" / "model" / f"{choice}.yaml").exists():
                continue  # any torchvision model; the command line makes its configuration
            others = [o for o in overrides if not o.startswith(f"{name}=")]
            plain = [o for o in others if "," not in o or "[" in o or "{" in o]
            composed(*plain, f"{name}={choice}")


def test_there_are_commands_to_test() -> None:
    assert len(COMMANDS) > 8


@pytest.mark.parametrize("target", re.findall(r"\]\((?!https?:)([^)#]+)\)", README))
def test_every_link_of_the_readme_leads_to_a_file(target: str) -> None:
    assert (ROOT / target).exists()


@pytest.mark.parametrize("page", sorted(ROOT.glob("*.md")) + sorted(ROOT.glob("docs/*.md")))
def test_no_page_has_a_gap_left_to_fill(page: Path) -> None:
    assert "@@" not in page.read_text(encoding="utf-8")
