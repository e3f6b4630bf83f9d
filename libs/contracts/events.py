"""Every event, topic by topic. A breaking change is a new class with the next `version`; both live for one release."""

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
    """What it shows; empty in events from before there was this field."""


class PostUpdated(PostEvent):
    """Caption or location changed."""

    type: ClassVar[str] = "post.updated"


class PostDeleted(PostEvent):
    """The post is gone for every reader."""

    type: ClassVar[str] = "post.deleted"

    media_ids: tuple[Id, ...] = ()
    """What it showed; empty in events from before there was this field."""


class GraphEvent(Payload):
    """An edge of the graph changed. Its two fields are whom the edge goes from, and to whom."""

    topic: ClassVar[str] = "graph"


class FollowEvent(GraphEvent):
    """A follow."""

    follower_id: Id
    followee_id: Id

    def key(self) -> str:
        return str(self.follower_id)


class FollowCreated(FollowEvent):
    """`follower_id` follows `followee_id`."""

    type: ClassVar[str] = "follow.created"


class FollowDeleted(FollowEvent):
    """`follower_id` follows `followee_id` no more."""

    type: ClassVar[str] = "follow.deleted"


class FollowRequestEvent(GraphEvent):
    """A request to follow a private account."""

    requester_id: Id
    target_id: Id

    def key(self) -> str:
        return str(self.requester_id)


class FollowRequestCreated(FollowRequestEvent):
    """`requester_id` waits for the answer of `target_id`."""

    type: ClassVar[str] = "follow_request.created"


class FollowRequestDeleted(FollowRequestEvent):
    """The request was approved (a follow came with it), denied or withdrawn, or a block ended it."""

    type: ClassVar[str] = "follow_request.deleted"


class BlockEvent(GraphEvent):
    """A block; follows and requests that it ends have events of their own."""

    blocker_id: Id
    blocked_id: Id

    def key(self) -> str:
        return str(self.blocker_id)


class BlockCreated(BlockEvent):
    """The two are hidden from one another."""

    type: ClassVar[str] = "block.created"


class BlockDeleted(BlockEvent):
    """They may see one another again."""

    type: ClassVar[str] = "block.deleted"


class MuteEvent(GraphEvent):
    """A mute."""

    muter_id: Id
    muted_id: Id

    def key(self) -> str:
        return str(self.muter_id)


class MuteCreated(MuteEvent):
    """The feed of `muter_id` shows no posts of `muted_id`."""

    type: ClassVar[str] = "mute.created"


class MuteDeleted(MuteEvent):
    """It shows them again."""

    type: ClassVar[str] = "mute.deleted"


class UserEvent(Payload):
    """Something happened to an account."""

    topic: ClassVar[str] = "users"

    user_id: Id

    def key(self) -> str:
        return str(self.user_id)


class UserCreated(UserEvent):
    """An account was opened."""

    type: ClassVar[str] = "user.created"


class UserUpdated(UserEvent):
    """The profile changed: drop what was cached of it."""

    type: ClassVar[str] = "user.updated"


class UserBanned(UserEvent):
    """The account and all that it made are hidden from everyone."""

    type: ClassVar[str] = "user.banned"


class UserUnbanned(UserEvent):
    """They may be seen again."""

    type: ClassVar[str] = "user.unbanned"


class MediaEvent(Payload):
    """Something happened to an upload."""

    topic: ClassVar[str] = "media"

    media_id: Id
    owner_id: Id

    def key(self) -> str:
        return str(self.media_id)


class MediaUploaded(MediaEvent):
    """The bytes lie in the object store under `source_key` and wait for the worker."""

    type: ClassVar[str] = "media.uploaded"

    source_key: str
    content_type: str
    secret: str | None = None
    """Part of the variants' paths; none in events from before there was one."""


class MediaDeleted(MediaEvent):
    """Nobody may see it any more, nor post it."""

    type: ClassVar[str] = "media.deleted"


class MediaProcessed(MediaEvent):
    """All variants are in the object store."""

    type: ClassVar[str] = "media.processed"

    document: MediaDocument


class MediaFailed(MediaEvent):
    """The upload can't be shown; `reason` is a stable code that clients may show."""

    type: ClassVar[str] = "media.failed"

    reason: str


class InteractionEvent(Payload):
    """Someone did something to a post. `actor_id` and the member make it a membership, so counting is idempotent."""

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
    """Someone did something to a comment on the post."""

    comment_id: Id
    parent_id: Id | None = None


class CommentLikeCreated(CommentLikeEvent):
    type: ClassVar[str] = "comment_like.created"


class CommentLikeDeleted(CommentLikeEvent):
    type: ClassVar[str] = "comment_like.deleted"


class ViewRecorded(InteractionEvent):
    type: ClassVar[str] = "view.recorded"


class AuditedMember(BaseModel):
    """Whether a member counts, as of a version of its record."""

    model_config = ConfigDict(frozen=True)

    member: Id
    present: bool
    version: int = Field(ge=0)


class CountsAudited(Payload):
    """One count of a post is to be counted anew from its members, after those named are as their records say."""

    type: ClassVar[str] = "counts.audited"
    topic: ClassVar[str] = "interactions"

    post_id: Id
    kind: CountKind
    members: tuple[AuditedMember, ...]

    def key(self) -> str:
        return str(self.post_id)


class PostCounted(Payload):
    """The absolute counts of a post, as of `sequence` (grows with every count of this post)."""

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
    """One range of an author's followers, ids in `(after_id, up_to_id]`, to receive one post."""

    type: ClassVar[str] = "fanout.chunk"
    topic: ClassVar[str] = "feed.fanout"

    post_id: Id
    author_id: Id
    after_id: Id
    up_to_id: Id

    def key(self) -> str:
        return f"{self.author_id}:{self.after_id}"


class SlowFanoutChunk(FanoutChunk):
    """The same of an author so large that all such chunks together go at a limited rate."""

    type: ClassVar[str] = "fanout.slow_chunk"
    topic: ClassVar[str] = "feed.fanout.slow"


class RemovalChunk(FanoutChunk):
    """One range of an author's followers, whose lists are to be without one post."""

    type: ClassVar[str] = "fanout.removal_chunk"


class SlowRemovalChunk(RemovalChunk):
    """The same in the lane of limited rate."""

    type: ClassVar[str] = "fanout.slow_removal_chunk"
    topic: ClassVar[str] = "feed.fanout.slow"
