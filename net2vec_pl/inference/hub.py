"""Banks on the Hugging Face Hub: a repository there holds the file of a bank and its card.

What comes from the Hub is a safetensors file, checked like any other: nothing of it is executed.
"""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, NamedTuple
from urllib.parse import unquote

from net2vec_pl.errors import ConfigError, Net2VecError, RunFolderError, unknown
from net2vec_pl.probes import BankFile
from net2vec_pl.runs import BANK, CLASSIFIERS

if TYPE_CHECKING:
    from huggingface_hub import HfApi

HUB = "hf://"
_REPO = r"[\w.-]+/[\w.-]+"
_ADDRESS = re.compile(rf"{HUB}({_REPO})(?:@([^/@]+))?(?:/(.+\.safetensors))?")
_LOG_IN = "log in (`hf auth login`) or set HF_TOKEN"
_NOT_READ = (
    "no such repository can be read. Check the name; if the repository is private, "
    f"{_LOG_IN}, with a token that may read it."
)
_NOT_WRITTEN = (
    f"this repository cannot be written. Check its owner, and {_LOG_IN}, with a token that may "
    "write there."
)


class _Place(NamedTuple):
    """Where a bank lies on the Hub.

    Args:
        repo: ``owner/name``.
        revision: A branch, tag or commit; None for the main branch.
        files: Paths of files in the repository; the first that exists is the bank.
    """

    repo: str
    revision: str | None
    files: tuple[str, ...]


def push(
    file: BankFile,
    repo: str,
    card: str,
    *,
    private: bool = False,
    token: str | None = None,
    message: str = "Upload a bank of concept embeddings",
) -> str:
    """Put a bank and its card into a repository on the Hub, both in one commit.

    A repository that does not exist is created; in one that does, files of the same names are
    replaced.

    Args:
        file: The bank, which becomes ``bank.safetensors``, or ``classification.safetensors`` if it
            classifies images.
        repo: ``owner/name``.
        card: Text of the model card, which becomes ``README.md``.
        private: Whether a new repository is private; one that exists stays as it is.
        token: A token that may write there; that of ``hf auth login`` or HF_TOKEN if None.
        message: Title of the commit.

    Returns:
        The address from which :func:`fetch` takes the bank.

    Raises:
        ConfigError: If ``repo`` is not the name of a repository, or huggingface_hub is missing (the
            extra ``hub``).
        RunFolderError: If the Hub cannot be reached or refuses.
    """
    if not re.fullmatch(_REPO, repo):
        raise ConfigError(f"{repo!r} is not the name of a repository: owner/name.")
    api = _api(token)
    from huggingface_hub import CommitOperationAdd

    address = f"{HUB}{repo}"
    name = BANK if file.segments else CLASSIFIERS
    with TemporaryDirectory() as folder:
        path = Path(folder, name)
        file.save(path)
        with _in_our_words(address, denied=_NOT_WRITTEN):
            api.create_repo(repo, private=private, exist_ok=True)
            added = [
                CommitOperationAdd(name, path),
                CommitOperationAdd("README.md", card.encode()),
            ]
            api.create_commit(repo, added, commit_message=message)
    return address


def without_folders(file: BankFile) -> BankFile:
    """Return a bank whose header names a file of weights without the folders of this machine.

    Args:
        file: The bank.
    """
    model = file.header["model"]
    if model["weights"] is None:
        return file
    told = model | {"weights": Path(model["weights"]).name}
    return replace(file, header=file.header | {"model": told})


def fetch(address: str, *, token: str | None = None) -> Path:
    """Download the file of a bank, unless the cache of huggingface_hub holds it already.

    Args:
        address: ``hf://owner/name`` for the bank of a repository; ``hf://owner/name@revision`` for
            that of a branch, tag or commit; ``hf://owner/name/folder/file.safetensors`` for any
            other file.
        token: A token that may read it; that of ``hf auth login`` or HF_TOKEN if None.

    Returns:
        Path of the file in the cache.

    Raises:
        ConfigError: If the address is malformed, or huggingface_hub is missing (the extra ``hub``).
        RunFolderError: If there is no such repository, revision or file, if access is denied, or if
            the Hub cannot be reached and the cache does not hold the file.
    """
    place = _place(address)
    api = _api(token)
    from huggingface_hub.errors import (
        EntryNotFoundError,
        LocalEntryNotFoundError,
        RevisionNotFoundError,
    )

    with _in_our_words(address, denied=_NOT_READ):
        try:
            return _download(api, place)
        except LocalEntryNotFoundError:
            raise
        except EntryNotFoundError as error:
            files = api.list_repo_files(place.repo, revision=place.revision)
            problem = unknown(f"file of {place.repo}", place.files[0], files)
            raise RunFolderError(f"{address} holds no bank: {problem}") from error
        except RevisionNotFoundError as error:
            refs = api.list_repo_refs(place.repo)
            names = [ref.name for ref in (*refs.branches, *refs.tags)]
            problem = unknown(f"revision of {place.repo}", place.revision or "main", names)
            raise RunFolderError(f"{address} does not exist: {problem}") from error


def _place(address: str) -> _Place:
    found = _ADDRESS.fullmatch(address)
    if found is None or ".." in address.split("/"):
        raise ConfigError(
            f"{address!r} is not the address of a bank on the Hub. Known forms: hf://owner/name, "
            "hf://owner/name@revision, hf://owner/name/folder/file.safetensors."
        )
    repo, revision, file = found.groups()
    return _Place(repo, revision and unquote(revision), (file,) if file else (BANK, CLASSIFIERS))


def _api(token: str | None) -> "HfApi":
    try:
        from huggingface_hub import HfApi
    except ImportError as error:
        raise ConfigError(
            f"the Hub needs huggingface_hub ({error}): pip install 'net2vec_pl[hub]'."
        ) from error
    return HfApi(token=token, library_name="net2vec_pl")


def _download(api: "HfApi", place: _Place) -> Path:
    """Download the first file that exists; raise what the last one raises if none does."""
    from huggingface_hub import _CACHED_NO_EXIST, try_to_load_from_cache
    from huggingface_hub.errors import EntryNotFoundError, LocalEntryNotFoundError

    *others, last = place.files
    for name in others:
        try:
            return Path(api.hf_hub_download(place.repo, name, revision=place.revision))
        except LocalEntryNotFoundError:  # not reached: it may exist, unless the cache knows better
            known = try_to_load_from_cache(place.repo, name, revision=place.revision)
            if known is not _CACHED_NO_EXIST:
                raise
        except EntryNotFoundError:
            pass
    return Path(api.hf_hub_download(place.repo, last, revision=place.revision))


@contextmanager
def _in_our_words(address: str, denied: str) -> Iterator[None]:
    """Turn whatever huggingface_hub raises into an error that says what to do.

    Args:
        address: What was asked for.
        denied: What it means that the Hub does not show, or does not open, the repository.
    """
    from huggingface_hub.errors import HFValidationError

    try:
        yield
    except Net2VecError:
        raise
    except HFValidationError as error:
        raise ConfigError(f"{address}: {error}") from error
    except Exception as error:  # releases differ in their HTTP client, and so in its errors
        raise RunFolderError(f"{address}: {_meaning(error, denied)}") from error


def _meaning(error: BaseException, denied: str) -> str:
    from huggingface_hub import constants
    from huggingface_hub.errors import (
        GatedRepoError,
        LocalEntryNotFoundError,
        RepositoryNotFoundError,
    )

    if constants.HF_HUB_OFFLINE:
        return "HF_HUB_OFFLINE is set: only banks that the cache holds can be loaded."
    if isinstance(error, LocalEntryNotFoundError):  # the cache was only asked because of
        error = error.__cause__ or error
    if isinstance(error, GatedRepoError):
        return f"access is restricted. Ask for it on the page of the repository, then {_LOG_IN}."
    status = getattr(getattr(error, "response", None), "status_code", None)
    if isinstance(error, RepositoryNotFoundError) or status in (401, 403):
        return denied
    said = " ".join(str(error).split())
    return f"the Hub cannot be reached, or fails ({type(error).__name__}: {said}). Try again later."
