"""Public traces by name: found in a folder, downloaded with a checksum where that is possible, or asked for."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import pooch

from configs.errors import InputError


@dataclass(frozen=True, slots=True)
class PublicTrace:
    """A published file: its name, SHA-256, licence, and where people get it; url None where it must be derived."""

    file: str
    sha256: str
    licence: str
    page: str
    url: str | None = None


_AZURE = "https://raw.githubusercontent.com/Azure/AzurePublicDataset/master/data/"
_AZURE_PAGE = "https://github.com/Azure/AzurePublicDataset"

TRACES: Mapping[str, PublicTrace] = {
    "azure-2023-conversation": PublicTrace(
        "AzureLLMInferenceTrace_conv.csv",
        "2f1e5b666d4e3055fdbba98598ce2ec307767b9064e03e2fa46676dbcc7d0bf8",
        "CC-BY-4.0",
        _AZURE_PAGE,
        _AZURE + "AzureLLMInferenceTrace_conv.csv",
    ),
    "azure-2023-code": PublicTrace(
        "AzureLLMInferenceTrace_code.csv",
        "54e9a6d2a4bd06ba1e060304b900abbc74cbea53de96506e60fe5bb4f2277fb6",
        "CC-BY-4.0",
        _AZURE_PAGE,
        _AZURE + "AzureLLMInferenceTrace_code.csv",
    ),
    # Counted from BurstGPT's request log: rows day,hour and requests by log type; day 0 is the log's first day.
    "burstgpt-hourly": PublicTrace(
        "burstgpt_hourly.csv",
        "9919b866748c2158af7fe712bd606563c177f56827766b75417c794989f04697",
        "CC-BY-4.0",
        "https://github.com/HPMLL/BurstGPT (requests per hour by log type, columns day,hour,conversation,api,all)",
    ),
}


def find_trace(name: str, folder: Path | None) -> Path:
    """The file of a public trace: in `folder` (or its `traces` subfolder) first, else downloaded into pooch's cache.

    Raises InputError saying which file goes where when it is neither there nor to be had, and when a file in the
    folder is not the published one.
    """
    trace = TRACES.get(name)
    if trace is None:
        raise InputError(f"public_name {name!r}", f"one of {', '.join(TRACES)}", "an unknown name", "Correct it.")
    for place in () if folder is None else (folder, folder / "traces"):
        path = place / trace.file
        if path.is_file():
            found = hashlib.sha256(path.read_bytes()).hexdigest()
            if found != trace.sha256:
                raise InputError(
                    str(path), f"the published file (SHA-256 {trace.sha256[:12]}...)", f"another ({found[:12]}...)",
                    f"Get it again from {trace.page}, or name it by `path` if you changed it on purpose.",
                )  # fmt: skip
            return path
    where = "no --data-folder was given" if folder is None else f"{folder} does not hold it"
    fix = f"Get {trace.file} from {trace.page} ({trace.licence}), put it in a folder and pass --data-folder FOLDER."
    if trace.url is None:
        raise InputError(f"public trace {name!r}", f"the file {trace.file}", where, fix)
    try:
        return Path(pooch.retrieve(trace.url, known_hash=f"sha256:{trace.sha256}", fname=trace.file, progressbar=False))
    except Exception as error:  # noqa: BLE001 - pooch passes on whatever its transport raises
        got = f"{where}, and the download failed ({type(error).__name__})"
        raise InputError(f"public trace {name!r}", f"the file {trace.file}", got, fix) from None
