"""Notebook 10's way to diffusers where the library is missing. Where it is there, nbval runs the comparison."""

import importlib.util
from pathlib import Path

import torch
from build_notebooks import Source, code_cells

ROOT = Path(__file__).resolve().parent.parent


def test_without_diffusers_the_bridge_says_how_to_get_it_and_does_nothing(monkeypatch, capsys):
    found = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name, *more: None if name == "diffusers" else found(name, *more))
    cells = {cell.id: cell.source for cell in code_cells(Source(ROOT, "10_fewer_steps").edition(False, None))}
    names = {"torch": torch, "begin": torch.zeros(10, 1, 28, 28), "y": torch.arange(10)}
    for slug in ("bridge", "pipeline"):
        exec(compile(cells[slug], slug, "exec"), names)
    assert names["have"] is False and names["rows"] == {}
    assert "pip install diffusers" in capsys.readouterr().out
