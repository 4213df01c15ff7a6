"""What is shown in the README and the pages of docs/: their code blocks, commands, keys, systems and links."""

from __future__ import annotations

import re
import shlex
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[1]


@dataclass(frozen=True)
class Page:
    """A Markdown file by its path in the repository."""

    name: str

    @property
    def text(self) -> str:
        return (ROOT / self.name).read_text(encoding="utf-8")

    def blocks(self, language: str) -> list[str]:
        return re.findall(rf"```{language}\n(.*?)```", self.text, flags=re.DOTALL)

    def commands(self) -> list[list[str]]:
        """The arguments of every damrs-dgl line in the shell blocks, and of those within the sentences."""
        shown = "\n".join(re.split(r"[#>|]", line)[0] for block in self.blocks("sh") for line in block.splitlines())
        quoted = "\n".join(re.findall(r"`(damrs-dgl [^`\n]+)`", self.text))
        lines = f"{shown}\n{quoted}".splitlines()
        return [shlex.split(line)[1:] for line in lines if line.startswith("damrs-dgl")]

    def modules(self) -> list[str]:
        """The modules that are run as `python -m ...`."""
        return sorted(set(re.findall(r"python -m ([a-z_.]+)", self.text)) - {"pip", "venv", "pytest"})

    def make_targets(self) -> set[str]:
        return set(re.findall(r"(?:^|`)make ([a-z]+)", self.text, flags=re.MULTILINE))

    def overrides(self) -> list[str]:
        """Every `-o section.key=value`, but for the one that says how they look."""
        return [text for text in re.findall(r"-o ([a-z]+\.[a-z_.]+=[^\s`]+)", self.text) if "section.key" not in text]

    def recipe_keys(self) -> set[str]:
        """Keys with their section, `training.epochs`, that stand between backticks."""
        found = re.findall(r"`((?:graphs|model|losses|training|evaluation|stress)\.[a-z_.]*[a-z_])`", self.text)
        return {key for key in found if key.rpartition(".")[2] not in {"csv", "png", "safetensors", "db", "py"}}

    def links(self) -> list[str]:
        """The files that it links to, relative to itself."""
        targets = re.findall(r"\]\(([^)#\s]+)[^)]*\)", re.sub(r"```.*?```", "", self.text, flags=re.DOTALL))
        return [target for target in targets if "://" not in target]


README = Page("README.md")
SYSTEMS = Page("docs/systems.md")
ARCHITECTURE = Page("docs/architecture.md")
PAGES = [README, *(Page(f"docs/{path.name}") for path in sorted((ROOT / "docs").glob("*.md")))]
