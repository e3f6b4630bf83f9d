"""The object store of the media service in a bucket."""

from itertools import islice
from typing import TYPE_CHECKING

from services.media.domain import Upload
from services.media.ports import Space, StoredObject, UploadAddress

if TYPE_CHECKING:
    from libs.common.stores.s3 import S3ObjectStore  # imported only for a bucket


class S3MediaObjects:
    """Implements `MediaObjects`."""

    def __init__(self, objects: "S3ObjectStore") -> None:
        self._objects = objects
        self.put, self.get, self.size, self.delete = objects.put, objects.get, objects.size, objects.delete

    async def head(self, key: str, size: int) -> bytes:
        return b"".join([piece async for piece in self._objects.read(key, 0, size)])

    async def open(self, key: str) -> StoredObject | None:
        size = await self._objects.size(key)
        return None if size is None else StoredObject(size, lambda start, end: self._objects.read(key, start, end))

    async def delete_folder(self, key: str) -> None:
        async for page in self._objects.listed(f"{key}/"):
            await self._objects.delete_many([one["Key"] for one in page])

    async def sweep(self, folder: str, before_s: float, limit: int) -> int:
        old = list[str]()
        async for page in self._objects.listed(f"{folder}/"):
            found = (one["Key"] for one in page if one["LastModified"].timestamp() < before_s)
            old += islice(found, limit - len(old))
            if len(old) == limit:
                break
        if old:
            await self._objects.delete_many(old)
        return len(old)

    async def space(self) -> Space | None:
        return None

    async def presigned(self, upload: Upload, valid_s: int) -> UploadAddress | None:
        form = await self._objects.presigned_post(upload.source_key, upload.content_type, upload.file_size, valid_s)
        return UploadAddress(form.url, "POST", fields=form.fields)
