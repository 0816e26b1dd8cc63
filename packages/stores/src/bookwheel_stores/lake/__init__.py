"""The lake: Delta tables and exports for programs that read the whole catalog, in a folder, an S3 or a GCS bucket.

The tables (`tables`, `bronze`, `silver`) import `deltalake`, which takes 27 MB: only the processor imports them.
"""

from bookwheel_stores.lake.address import LakeAddress
from bookwheel_stores.lake.files import Lake, LakeError, LakeFile, LakeFileNotFoundError

__all__ = ["Lake", "LakeAddress", "LakeError", "LakeFile", "LakeFileNotFoundError"]
