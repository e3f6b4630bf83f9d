"""Opens the bucket of a deployable, with its readiness check."""

from typing import TYPE_CHECKING, Any

from libs.common.web.runtime import Runtime

if TYPE_CHECKING:
    from libs.common.stores.s3 import S3ObjectStore


async def open_bucket(runtime: Runtime[Any]) -> "S3ObjectStore | None":
    """Open the bucket of `object_store_url`; None if that is empty, so that a folder is the object store."""
    if not runtime.settings.object_store_url:
        return None
    from libs.common.stores.s3 import open_s3  # 30 MB that a folder does not need

    bucket = await runtime.stack.enter_async_context(open_s3(runtime.settings))
    runtime.ready_checks["objects"] = bucket.ready
    return bucket
