"""The lake: files for people and programs that read the whole catalog, in a folder or an S3-compatible bucket."""

from bookwheel_stores.lake.address import LakeAddress
from bookwheel_stores.lake.bronze import Bronze
from bookwheel_stores.lake.bronze_merge import BronzeMerge
from bookwheel_stores.lake.compaction import Compaction
from bookwheel_stores.lake.files import Lake, LakeError, LakeFile, LakeFileNotFoundError
from bookwheel_stores.lake.silver import Silver

__all__ = [
    "Bronze",
    "BronzeMerge",
    "Compaction",
    "Lake",
    "LakeAddress",
    "LakeError",
    "LakeFile",
    "LakeFileNotFoundError",
    "Silver",
]
