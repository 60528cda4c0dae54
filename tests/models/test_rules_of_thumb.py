"""The rules-of-thumb page is what its command prints."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from models.rules_of_thumb import page

PAGE = Path(__file__).parents[2] / "docs" / "rules_of_thumb.md"
NUMBER = re.compile(r"[-+]?\d[\d,]*\.?\d*")


@pytest.mark.slow
def test_the_page_is_current() -> None:
    made, kept = page(), PAGE.read_text(encoding="utf-8")
    assert NUMBER.sub("#", made) == NUMBER.sub("#", kept), (
        "run: python -m models.rules_of_thumb > docs/rules_of_thumb.md"
    )
    # Figures may differ in the last digit between CPUs.
    for mine, theirs in zip(NUMBER.findall(made), NUMBER.findall(kept), strict=True):
        a, b = (float(text.replace(",", "")) for text in (mine, theirs))
        assert abs(a - b) <= max(1.01 * 10 ** -len(mine.partition(".")[2]), 1e-3 * abs(b))


def test_known_figures_are_on_it() -> None:
    text = PAGE.read_text(encoding="utf-8")
    # 2 x 80 layers x 8192 x 2 bytes x 8,192 tokens = 20 GiB by the rule, an eighth of it with 8 of 64 heads.
    assert "| Llama-3.1-70B, 8,192 | 20.0 / 2.5 |" in text
    assert "| Llama-2-7B, 2,048 | 1.0 / 1.0 |" in text
    assert "| Llama-2-7B, bf16 | 14.0 | 16.8 | 13.5 |" in text
    # 3.35 TB/s over 14 GB and 35 GB.
    assert re.search(r"H100-SXM, Llama-2-7B bf16 \| 239 \|", text)
    assert re.search(r"H100-SXM, Llama-3.1-70B int4 \| 96 \|", text)
    assert re.search(r"RTX4090, Llama-3.1-70B int4 \| 29 \| does not load", text)
    # 1,008, 2,039 and 3,350 GB/s over 3.5 GB.
    for gpu, ceiling in (("RTX4090", 288), ("A100-80GB-SXM", 583), ("H100-SXM", 957)):
        assert re.search(rf"{gpu}, Llama-2-7B int4 \| {ceiling} \|", text)
    # 200 tokens in 10 s for each user, over 96 and 58 tokens/s.
    for users, tokens, h100, a100 in ((10, 200, 3, 4), (50, 1000, 11, 18), (100, 2000, 21, 35), (200, 4000, 42, 69)):
        assert f"| H100-SXM, {users} users | {tokens:,} | {h100} |" in text
        assert f"| A100-80GB-SXM, {users} users | {tokens:,} | {a100} |" in text
