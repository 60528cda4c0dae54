"""Names and label values that Kubernetes takes, from whatever users call their things."""

from __future__ import annotations

import hashlib
import re

LABEL_MAX = 63


def dns_name(*parts: str, most: int = LABEL_MAX) -> str:
    """An RFC 1123 label (lower case, digits, dashes, at most `most`) that differs where the parts do: what is lost in
    spelling comes back as part of a digest."""
    whole = "-".join(parts)
    plain = re.sub(r"[^a-z0-9]+", "-", whole.lower()).strip("-")
    if plain == whole and len(plain) <= most and "" not in parts:
        return plain
    digest = _digest(parts)
    head = plain[: most - len(digest) - 1].rstrip("-")
    return f"{head}-{digest}" if head else f"x-{digest}"


def label_value(text: str) -> str:
    """A label value (letters, digits, `._-`, at most 63, alphanumeric at both ends) that differs where texts do."""
    plain = re.sub(r"[^A-Za-z0-9._-]+", "-", text).strip("._-")
    if plain == text and 0 < len(plain) <= LABEL_MAX:
        return plain
    digest = _digest((text,))
    head = plain[: LABEL_MAX - len(digest) - 1].rstrip("._-")
    return f"{head}-{digest}" if head else f"x-{digest}"


def _digest(parts: tuple[str, ...]) -> str:
    # The parts' lengths keep ("a", "b-c") and ("a-b", "c") apart.
    whole = "\0".join(f"{len(part)}:{part}" for part in parts)
    return hashlib.sha256(whole.encode("utf-8", "surrogatepass")).hexdigest()[:8]
