"""Real dusty photos from the public data set of Bartani et al., fetched by hash; only when asked for."""

import csv
import time
from collections.abc import Sequence
from pathlib import Path
from typing import BinaryIO
from urllib.parse import quote

import pooch
import requests
from requests.exceptions import ChunkedEncodingError, HTTPError, InvalidSchema, ReadTimeout, RequestException
from tqdm import tqdm
from urllib3.exceptions import ProtocolError, ReadTimeoutError

from ssdie.utils.paths import is_offline

COMMIT = "60ae2bddc7a6b66b0a60c2f0e1c1c4b90a0f25fa"
BASE_URL = f"https://raw.githubusercontent.com/bartani/dusty-images-dataset/{COMMIT}/"
REGISTRY = Path(__file__).with_name("registry.csv")
LARGEST = 64 * 2**20  # bytes of a photo; the largest has 5 MiB
LICENCE = (
    "These photos were collected by Bartani et al. (2022), https://github.com/bartani/dusty-images-dataset.\n"
    "Their licence is not stated: use them for research, and do not redistribute them."
)


def read_registry() -> dict[str, dict[str, str]]:
    """Read what there is: {name: {"split", "original" (its path there), "sha256"}}.

    Example:
        >>> photo = read_registry()["t000.jpg"]
        >>> photo["split"], len(photo["sha256"])
        ('test', 64)
    """
    with REGISTRY.open(newline="", encoding="utf-8") as file:
        return {row.pop("name"): row for row in csv.DictReader(file)}


def download(
    out: str | Path,
    names: Sequence[str] | None = None,
    base_url: str = BASE_URL,
    retries: int = 2,
    timeout: float = 30,
    offline: bool | None = None,
) -> tuple[list[Path], dict[str, str]]:
    """Fetch photos to OUT/dusty/SPLIT/NAME, the layout of SSDIE_DATA; what is there is checked, and not fetched twice.

    Args:
        out: folder; made where it is missing.
        names: names of the registry, or splits ("train", "val", "test"); None takes all.
        base_url: where the data set lies, up to the paths of the registry; ends in "/".
        retries: further attempts at a photo that fails; after 1, 2, ... seconds.
        timeout: for an answer, and for each part of it; a photo as a whole may take twenty times as long; seconds.
        offline: only look at what is there; None takes it from the environment variable SSDIE_OFFLINE.

    Returns:
        paths that are there with the right SHA-256, and {name: what went wrong, what to do} for the others;
        nothing half-written is left behind.

    Raises:
        ValueError: a name is neither in the registry nor a split, or the registry names a file outside of OUT.
    """
    offline = is_offline() if offline is None else offline
    registry = read_registry()
    splits = {row["split"] for row in registry.values()}
    wanted = list(registry if names is None else names)
    unknown = [name for name in wanted if name not in registry and name not in splits]
    if unknown:
        raise ValueError(
            f"{', '.join(unknown)} is not in the registry; wanted are {', '.join(sorted(splits))}, "
            f"or names such as {next(iter(registry))} (all of them: {REGISTRY})."
        )
    chosen = {name: row for name, row in registry.items() if name in wanted or row["split"] in wanted}
    files = {f"dusty/{row['split']}/{name}": row for name, row in chosen.items()}
    outside = [file for file in files if not (Path(out) / file).resolve().is_relative_to(Path(out).resolve())]
    if outside:
        raise ValueError(f"{REGISTRY} names {outside[0]}, which is outside of {out}; restore the registry.")
    store = pooch.create(
        Path(out),
        base_url,
        registry={file: f"sha256:{row['sha256']}" for file, row in files.items()},
        urls={file: base_url + quote(row["original"]) for file, row in files.items()},
        retry_if_failed=retries,
    )
    pooch.get_logger().setLevel("ERROR")

    def fetch(url: str, target: str | BinaryIO, _) -> None:
        if offline:
            raise OfflineError
        _fetch(url, Path(target), timeout)

    paths, failures = [], {}
    for file in tqdm(files, unit="photo"):
        try:
            paths.append(Path(store.fetch(file, downloader=fetch)))
        except OfflineError:
            failures[Path(file).name] = "is not here as registered, and SSDIE_OFFLINE forbids to fetch it; unset it."
        except InvalidSchema:
            failures[Path(file).name] = "the server sent to an address that is no web page's; refused: ask its owner."
        except HTTPError as error:
            failures[Path(file).name] = f"{error}; the server has no such photo now: try again later, or do without."
        except RequestException as error:
            failures[Path(file).name] = f"no answer ({type(error).__name__}); check the network, run the command again."
        except ValueError:
            failures[Path(file).name] = "came with another SHA-256 or without an end, and was thrown away; run again."
        except OSError as error:
            failures[Path(file).name] = f"{error}; choose a folder that can be written to, with room."
    return paths, failures


class OfflineError(Exception):
    """The network may not be used."""


def _fetch(url: str, target: Path, timeout: float) -> None:
    """Stream a photo to a file; bounded in time and size, whatever the server does."""
    begin, size = time.monotonic(), 0
    with requests.get(url, stream=True, timeout=timeout) as answer, target.open("wb") as file:
        answer.raise_for_status()
        try:
            while part := answer.raw.read1(2**16, decode_content=True):  # what has come, and no waiting for more
                size += file.write(part)
                if time.monotonic() - begin > 20 * timeout:
                    raise ReadTimeout
                if size > LARGEST:
                    raise ValueError(f"more than {LARGEST} bytes")
        except ReadTimeoutError as error:
            raise ReadTimeout from error
        except ProtocolError as error:
            raise ChunkedEncodingError from error
