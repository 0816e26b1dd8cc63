"""The lake: Delta tables and exports of the whole catalog, in a folder, an S3 bucket or a GCS bucket.

The modules `tables`, `bronze` and `silver` import `deltalake`, which needs 27 MB. Only the processor imports them.
"""

from bookwheel_stores.lake.address import LakeAddress
from bookwheel_stores.lake.files import Lake, LakeError, LakeFile, LakeFileNotFoundError

__all__ = ["Lake", "LakeAddress", "LakeError", "LakeFile", "LakeFileNotFoundError"]
