"""All events, by topic. For a breaking change add a class with the next `version`; keep both for one release."""

from typing import ClassVar

from pydantic import BaseModel, ConfigDict, Field

from libs.contracts.base import Id, Payload, Timestamp
from libs.contracts.media import MediaDocument
from libs.contracts.public import CountKind


class PostEvent(Payload):
    """Something happened to a post."""

    topic: ClassVar[str] = "posts"

    post_id: Id
    author_id: Id

    def key(self) -> str:
        return str(self.author_id)


class PostCreated(PostEvent):
    """A post became visible: its media are ready."""

    type: ClassVar[str] = "post.created"

    created_at: Timestamp
    media_ids: tuple[Id, ...] = ()
    """The media of the post; empty in events from before this field was added."""


class PostUpdated(PostEvent):
    """The caption or location changed."""

    type: ClassVar[str] = "post.updated"


class PostDeleted(PostEvent):
    """The post was deleted for all readers."""

    type: ClassVar[str] = "post.deleted"

    media_ids: tuple[Id, ...] = ()
    """The media of the post; empty in events from before this field was added."""


class GraphEvent(Payload):
    """An edge of the graph changed. The first field is the user where the edge starts, the second where it ends."""

    topic: ClassVar[str] = "graph"


class FollowEvent(GraphEvent):
    follower_id: Id
    followee_id: Id

    def key(self) -> str:
        return str(self.follower_id)


class FollowCreated(FollowEvent):
    """`follower_id` started to follow `followee_id`."""

    type: ClassVar[str] = "follow.created"


class FollowDeleted(FollowEvent):
    """`follower_id` stopped following `followee_id`."""

    type: ClassVar[str] = "follow.deleted"


class FollowRequestEvent(GraphEvent):
    """A request to follow a private account changed."""

    requester_id: Id
    target_id: Id

    def key(self) -> str:
        return str(self.requester_id)


class FollowRequestCreated(FollowRequestEvent):
    """`requester_id` asked to follow `target_id`."""

    type: ClassVar[str] = "follow_request.created"


class FollowRequestDeleted(FollowRequestEvent):
    """The request was approved (together with a follow event), denied or withdrawn, or ended by a block."""

    type: ClassVar[str] = "follow_request.deleted"


class BlockEvent(GraphEvent):
    """A block changed. Follows and requests that a block ends have their own events."""

    blocker_id: Id
    blocked_id: Id

    def key(self) -> str:
        return str(self.blocker_id)


class BlockCreated(BlockEvent):
    """The two users are hidden from each other."""

    type: ClassVar[str] = "block.created"


class BlockDeleted(BlockEvent):
    """The two users may see each other again."""

    type: ClassVar[str] = "block.deleted"


class MuteEvent(GraphEvent):
    muter_id: Id
    muted_id: Id

    def key(self) -> str:
        return str(self.muter_id)


class MuteCreated(MuteEvent):
    """The feed of `muter_id` no longer shows posts of `muted_id`."""

    type: ClassVar[str] = "mute.created"


class MuteDeleted(MuteEvent):
    """The feed of `muter_id` shows posts of `muted_id` again."""

    type: ClassVar[str] = "mute.deleted"


class UserEvent(Payload):
    """Something happened to an account."""

    topic: ClassVar[str] = "users"

    user_id: Id

    def key(self) -> str:
        return str(self.user_id)


class UserCreated(UserEvent):
    """The account was created."""

    type: ClassVar[str] = "user.created"


class UserUpdated(UserEvent):
    """The profile changed; cached copies are out of date."""

    type: ClassVar[str] = "user.updated"


class UserBanned(UserEvent):
    """The account and all its content are hidden from all users."""

    type: ClassVar[str] = "user.banned"


class UserUnbanned(UserEvent):
    """The account and its content are visible again."""

    type: ClassVar[str] = "user.unbanned"


class MediaEvent(Payload):
    """Something happened to an upload."""

    topic: ClassVar[str] = "media"

    media_id: Id
    owner_id: Id

    def key(self) -> str:
        return str(self.media_id)


class MediaUploaded(MediaEvent):
    """The file is in the object store under `source_key`, and waits for the media worker."""

    type: ClassVar[str] = "media.uploaded"

    source_key: str
    content_type: str
    secret: str | None = None
    """Part of the variants' paths; None in events from before secrets were introduced."""


class MediaDeleted(MediaEvent):
    """The upload was deleted: it can no longer be shown or posted."""

    type: ClassVar[str] = "media.deleted"


class MediaProcessed(MediaEvent):
    """All variants are in the object store."""

    type: ClassVar[str] = "media.processed"

    document: MediaDocument


class MediaFailed(MediaEvent):
    """The upload failed; `reason` is a stable code that clients may show."""

    type: ClassVar[str] = "media.failed"

    reason: str


class InteractionEvent(Payload):
    """A user did something to a post. It changes a membership of the actor or comment, so counting is idempotent."""

    topic: ClassVar[str] = "interactions"

    post_id: Id
    author_id: Id
    actor_id: Id

    def key(self) -> str:
        return str(self.post_id)


class LikeCreated(InteractionEvent):
    type: ClassVar[str] = "like.created"


class LikeDeleted(InteractionEvent):
    type: ClassVar[str] = "like.deleted"


class SaveCreated(InteractionEvent):
    type: ClassVar[str] = "save.created"


class SaveDeleted(InteractionEvent):
    type: ClassVar[str] = "save.deleted"


class CommentCreated(InteractionEvent):
    type: ClassVar[str] = "comment.created"

    comment_id: Id
    parent_id: Id | None = None


class CommentDeleted(InteractionEvent):
    type: ClassVar[str] = "comment.deleted"

    comment_id: Id


class CommentLikeEvent(InteractionEvent):
    """A user did something to a comment on the post."""

    comment_id: Id
    parent_id: Id | None = None


class CommentLikeCreated(CommentLikeEvent):
    type: ClassVar[str] = "comment_like.created"


class CommentLikeDeleted(CommentLikeEvent):
    type: ClassVar[str] = "comment_like.deleted"


class ViewRecorded(InteractionEvent):
    type: ClassVar[str] = "view.recorded"


class AuditedMember(BaseModel):
    """The state of a member (`present`: it counts), as of a version of its record."""

    model_config = ConfigDict(frozen=True)

    member: Id
    present: bool
    version: int = Field(ge=0)


class CountsAudited(Payload):
    """Correct these members of one count of a post, then compute the count again from all members."""

    type: ClassVar[str] = "counts.audited"
    topic: ClassVar[str] = "interactions"

    post_id: Id
    kind: CountKind
    members: tuple[AuditedMember, ...]

    def key(self) -> str:
        return str(self.post_id)


class PostCounted(Payload):
    """The absolute counts of a post. `sequence` grows with each event for this post."""

    type: ClassVar[str] = "post.counted"
    topic: ClassVar[str] = "counters"

    post_id: Id
    sequence: int = Field(ge=0)
    like_count: int = Field(ge=0)
    comment_count: int = Field(ge=0)
    save_count: int = Field(ge=0)
    view_count: int = Field(ge=0)

    def key(self) -> str:
        return str(self.post_id)


class FanoutChunk(Payload):
    """Push one post to a range of the author's followers, with ids in `(after_id, up_to_id]`."""

    type: ClassVar[str] = "fanout.chunk"
    topic: ClassVar[str] = "feed.fanout"

    post_id: Id
    author_id: Id
    after_id: Id
    up_to_id: Id

    def key(self) -> str:
        return f"{self.author_id}:{self.after_id}"


class SlowFanoutChunk(FanoutChunk):
    """Push one post of a very large author; all such chunks together have a limited rate."""

    type: ClassVar[str] = "fanout.slow_chunk"
    topic: ClassVar[str] = "feed.fanout.slow"


class RemovalChunk(FanoutChunk):
    """Remove one deleted post from the lists of a range of the author's followers."""

    type: ClassVar[str] = "fanout.removal_chunk"


class SlowRemovalChunk(RemovalChunk):
    """Remove one deleted post of a very large author, at the limited rate."""

    type: ClassVar[str] = "fanout.slow_removal_chunk"
    topic: ClassVar[str] = "feed.fanout.slow"
