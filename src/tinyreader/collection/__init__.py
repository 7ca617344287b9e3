"""Many documents on disk, to be asked: a folder's texts, their passages, and an index that keeps up with the
folder.

refresh      the folder into the store and the index, as far as it changed
collection   questions to passages, passages to readings
store        texts and passages in an SQLite file
"""

from __future__ import annotations

from tinyreader.collection.collection import Collection, index_directory
from tinyreader.collection.refresh import Refreshed, refresh

__all__ = ["Collection", "Refreshed", "index_directory", "refresh"]
