"""Uploads a folder to the Hugging Face hub; every way that can fail is a sentence."""

from __future__ import annotations

import re
from pathlib import Path

from salmu_core.errors import SalmuError, UsageError

_REPOSITORY = re.compile(r"[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*")


def check(repository: str) -> str:
    """Look whether an upload can be tried at all; returns the token.

    Raises:
        UsageError: The name is none, or there is no token.
    """
    from huggingface_hub import get_token

    if not _REPOSITORY.fullmatch(repository):
        raise UsageError(f"{repository!r} is no repository: write --push OWNER/NAME.")
    token = get_token()
    if not token:
        raise UsageError("There is no token for the hub: run `hf auth login`, or set HF_TOKEN. Nothing was written.")
    return token


def upload(folder: Path, repository: str, private: bool, message: str) -> str:
    """Upload a folder as one commit, making the repository if it is not there; returns its address.

    Raises:
        SalmuError: The hub refuses, or can't be reached.
        UsageError: A private repository was asked for, and a public one of that name is there.
    """
    from huggingface_hub import HfApi
    from huggingface_hub.errors import HfHubHTTPError, OfflineModeIsEnabled

    kept = f"{folder} is complete: the same command tries again."
    try:
        api = HfApi(token=check(repository))
        address = api.create_repo(repository, private=private, exist_ok=True, repo_type="model")
        if private and not api.repo_info(repository, repo_type="model").private:
            raise UsageError(f"{repository} is there already and public: say --public if that is meant. {kept}")
        api.upload_folder(repo_id=repository, folder_path=folder, repo_type="model", commit_message=message)
    except SalmuError:
        raise
    except OfflineModeIsEnabled as error:
        raise SalmuError(f"Nothing was uploaded: HF_HUB_OFFLINE is set. {kept}") from error
    except HfHubHTTPError as error:
        status = getattr(error.response, "status_code", None)
        why = f"{type(error).__name__}: {(str(error).strip().splitlines() or [''])[0]}"
        if status in (401, 403):
            why = f"the hub does not let this token write to {repository}: `hf auth whoami` says whose it is"
        raise SalmuError(f"Nothing was uploaded: {why}. {kept}") from error
    except Exception as error:  # whatever a network, a proxy or a disk can raise
        why = f"{type(error).__name__}: {(str(error).strip().splitlines() or [''])[0]}"
        raise SalmuError(f"The hub can't be reached, or stopped answering ({why}). {kept}") from error
    return str(address)
