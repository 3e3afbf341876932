"""Download real dusty photos from the public data set of Bartani et al., on request, verified by SHA-256."""

import csv
import time
from collections.abc import Mapping, Sequence
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
LARGEST = 64 * 2**20  # bytes, limit for one photo; the largest has 5 MiB
LICENCE = (
    "These photos were collected by Bartani et al. (2022), https://github.com/bartani/dusty-images-dataset.\n"
    "Their licence is not stated: use them for research, and do not redistribute them."
)


def read_registry() -> dict[str, dict[str, str]]:
    """Read the registry: {name: {"split", "original" (path in the data set), "sha256"}}.

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
    """Download photos to OUT/dusty/SPLIT/NAME, the layout of SSDIE_DATA. Existing files are verified and kept.

    Args:
        out: folder; created if it is missing.
        names: names in the registry, or splits ("train", "val", "test"); None means all.
        base_url: address to which the paths in the registry are appended; ends in "/".
        retries: further attempts for a photo that fails, after 1, 2, ... seconds.
        timeout: seconds to wait for a response, and for each part of it; a whole photo may take twenty times as long.
        offline: only verify existing files; None reads the environment variable SSDIE_OFFLINE.

    Returns:
        Paths of the files with the right SHA-256, and for the others {name: what failed, and the remedy}. No partial
        file remains.

    Raises:
        ValueError: a name is neither in the registry nor a split, or the registry names a file outside OUT.
    """
    registry = read_registry()
    splits = {row["split"] for row in registry.values()}
    requested = list(registry if names is None else names)
    unknown = [name for name in requested if name not in registry and name not in splits]
    if unknown:
        raise ValueError(
            f"names: expected {', '.join(sorted(splits))} or names in the registry, got {', '.join(unknown)}. "
            f"{REGISTRY} lists all names."
        )
    chosen = {name: row for name, row in registry.items() if name in requested or row["split"] in requested}
    files = {f"dusty/{row['split']}/{name}": (row["original"], row["sha256"]) for name, row in chosen.items()}
    outside = [file for file in files if not (Path(out) / file).resolve().is_relative_to(Path(out).resolve())]
    if outside:
        raise ValueError(f"{REGISTRY} names {outside[0]}, which is outside {out}. Restore the registry.")
    return fetch_files(out, files, base_url, retries, timeout, offline)


def fetch_files(
    out: str | Path,
    files: Mapping[str, tuple[str, str]],
    base_url: str,
    retries: int = 2,
    timeout: float = 30,
    offline: bool | None = None,
) -> tuple[list[Path], dict[str, str]]:
    """Download files of a registry. Existing files are verified and kept.

    Args:
        out: folder; created if it is missing.
        files: {path in `out`: (path of the original, SHA-256)}.
        base_url, retries, timeout, offline: as for `download`.

    Returns:
        As `download`.
    """
    offline = is_offline() if offline is None else offline
    store = pooch.create(
        Path(out),
        base_url,
        registry={file: f"sha256:{sha256}" for file, (_, sha256) in files.items()},
        urls={file: base_url + quote(original) for file, (original, _) in files.items()},
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
            failures[Path(file).name] = (
                "missing or changed, and downloads are off. Unset SSDIE_OFFLINE or drop --offline."
            )
        except InvalidSchema:
            failures[Path(file).name] = "the server redirected to an address that is not http. Refused; ask its owner."
        except HTTPError as error:
            failures[Path(file).name] = f"{error}. Try again later, or continue without this photo."
        except RequestException as error:
            failures[Path(file).name] = (
                f"no response ({type(error).__name__}). Check the network and run the command again."
            )
        except ValueError:
            failures[Path(file).name] = "wrong SHA-256 or too large; deleted. Run the command again."
        except OSError as error:
            failures[Path(file).name] = f"{error}. Choose a writable folder with free space."
    return paths, failures


class OfflineError(Exception):
    """Downloads are off."""


def _fetch(url: str, target: Path, timeout: float) -> None:
    """Stream a photo to a file, with a limit on the total time and size."""
    begin, size = time.monotonic(), 0
    with requests.get(url, stream=True, timeout=timeout) as response, target.open("wb") as file:
        response.raise_for_status()
        try:
            while part := response.raw.read1(
                2**16, decode_content=True
            ):  # returns what has arrived without waiting for more
                size += file.write(part)
                if time.monotonic() - begin > 20 * timeout:
                    raise ReadTimeout
                if size > LARGEST:
                    raise ValueError(f"expected at most {LARGEST} bytes")
        except ReadTimeoutError as error:
            raise ReadTimeout from error
        except ProtocolError as error:
            raise ChunkedEncodingError from error
