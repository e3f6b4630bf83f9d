"""Whether content can be published."""

from libs.contracts.media import Dimensions, MediaDocument
from libs.media.readiness import MediaReadiness, MediaStatus, documents_if_ready, failure_reason


def _ready(media_id: int) -> MediaReadiness:
    document = MediaDocument(
        media_id=media_id,
        owner_id=1,
        paths={"thumbnail": "a/1/thumbnail.webp"},
        dimensions=Dimensions(width=3, height=4),
        placeholder="L",
        dominant_color="#000000",
    )
    return MediaReadiness(media_id, 1, MediaStatus.READY, None, document)


PROCESSING = MediaReadiness(3, 1, MediaStatus.PROCESSING, None, None)


def test_documents_come_in_the_order_of_the_ids_once_all_are_ready() -> None:
    media = [_ready(1), _ready(2), PROCESSING]
    documents = documents_if_ready(media, [2, 1])
    assert documents is not None
    assert [document.media_id for document in documents] == [2, 1]
    assert documents_if_ready(media, [1, 3]) is None
    assert documents_if_ready(media, [1, 4]) is None


def test_the_first_failure_gives_the_reason() -> None:
    failed = [
        MediaReadiness(media_id, 1, MediaStatus.FAILED, reason, None) for media_id, reason in ((5, None), (6, "x"))
    ]
    assert failure_reason([_ready(1), PROCESSING]) is None
    assert failure_reason([_ready(1), failed[1], failed[0]]) == "x"
    assert failure_reason([failed[0]]) == "media_failed"
