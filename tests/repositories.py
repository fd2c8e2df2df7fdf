"""Git repositories in a test's own folder, made without the settings of whoever runs the tests."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path


def git(folder: Path, *arguments: str) -> str:
    """Run git without any settings but these; returns what it prints."""
    settings = ("user.name=A", "user.email=a@example.org", "init.defaultBranch=main", "protocol.file.allow=always")
    options = [option for setting in settings for option in ("-c", setting)]
    environment = {"PATH": os.environ["PATH"], "GIT_CONFIG_GLOBAL": os.devnull, "GIT_CONFIG_SYSTEM": os.devnull}
    done = subprocess.run(
        ["git", *options, *arguments], cwd=folder, env=environment, check=True, capture_output=True, text=True
    )
    return done.stdout


def commit(folder: Path) -> str:
    """Commit everything in the folder, which becomes a repository where it is none; returns the commit."""
    git(folder, "init")
    git(folder, "add", "--all", ".")
    git(folder, "commit", "--message", "A kernel")
    return git(folder, "rev-parse", "--short=12", "HEAD").strip()


def clone(origin: Path, folder: Path, *options: str) -> Path:
    """Clone the repository as from another machine; returns the clone's folder."""
    git(origin, "clone", *options, f"file://{origin}", str(folder))
    return folder
