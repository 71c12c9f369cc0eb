"""A file system of folders with text files."""

import copy
from typing import Any

from .protocol import MAX_ITEMS, check_texts, load_state, look_up, reports_errors


class FileSystem:
    """Folders with text files, one level deep; the state is `{"folders": {folder: {name: text}}}`."""

    def __init__(self) -> None:
        self._folders: dict[str, dict[str, str]] = {}

    def reset(self, initial_state: str | None = None, **_: Any) -> None:
        """Start from the state in a row, JSON; raises `ValueError` if it is malformed."""
        folders = load_state(initial_state, ("folders",))["folders"]
        for folder, files in folders.items():
            check_texts(files, f"folder {folder!r}")
        self._folders = folders

    @property
    def state(self) -> dict[str, Any]:
        return {"folders": copy.deepcopy(self._folders)}

    @reports_errors
    def list_files(self, folder: str) -> Any:
        """
        List the files of a folder.

        Args:
            folder: Folder to list.
        """
        return {"files": sorted(self._files(folder))}

    @reports_errors
    def find_file(self, name: str) -> Any:
        """
        Find the folder that a file is in, the first by name.

        Args:
            name: Name of the file.
        """
        folder = next((folder for folder in sorted(self._folders) if name in self._folders[folder]), None)
        if folder is None:
            raise ValueError("no such file")
        return {"folder": folder}

    @reports_errors
    def read_file(self, name: str, folder: str) -> Any:
        """
        Read a file.

        Args:
            name: Name of the file.
            folder: Folder that it is in.
        """
        return {"text": self._files(folder, name)[name]}

    @reports_errors
    def write_file(self, name: str, folder: str, text: str) -> Any:
        """
        Write a file; one that is there is overwritten.

        Args:
            name: Name of the file.
            folder: Folder to write to.
            text: Text to write.
        """
        files = self._files(folder)
        if name not in files and sum(map(len, self._folders.values())) >= MAX_ITEMS:
            raise ValueError("too many files")
        files[name] = text
        return {"written": name}

    @reports_errors
    def move_file(self, name: str, source: str, target: str) -> Any:
        """
        Move a file from one folder to another.

        Args:
            name: Name of the file.
            source: Folder that it is in.
            target: Folder to move it to.
        """
        files, others = self._files(source, name), self._files(target)
        if name in others:
            raise ValueError("the file exists")
        others[name] = files.pop(name)
        return {"moved": name}

    @reports_errors
    def delete_file(self, name: str, folder: str) -> Any:
        """
        Delete a file.

        Args:
            name: Name of the file.
            folder: Folder that it is in.
        """
        del self._files(folder, name)[name]
        return {"deleted": name}

    def _files(self, folder: str, name: str | None = None) -> dict[str, str]:
        files: dict[str, str] = look_up(self._folders, folder, "folder")
        if name is not None:
            look_up(files, name, "file")
        return files
