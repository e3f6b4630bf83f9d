"""The cache of counts for readers, in Redis."""

from redis.asyncio import Redis

from libs.contracts.events import PostCounted

TTL_S = 3_600  # counts expire if they do not change (docs/figures.md)
# Lua's numbers are doubles, too small for sequences, so sequences are compared as text.
_PUT = """
local known = redis.call('GET', KEYS[1])
if known then
  local sequence = string.match(known, '^%d+')
  if #sequence > #ARGV[1] or (#sequence == #ARGV[1] and sequence > ARGV[1]) then return 0 end
end
redis.call('SET', KEYS[1], ARGV[1] .. ' ' .. ARGV[2], 'EX', ARGV[3])
return 1
"""


class RedisCountsCache:
    """Implements `workers.counters.ports.CountsWriter`. A post's value is `sequence like comment save view`."""

    def __init__(self, redis: "Redis", prefix: str) -> None:
        self._prefix = prefix
        self._put = redis.register_script(_PUT)

    async def put(self, counted: PostCounted) -> None:
        counts = f"{counted.like_count} {counted.comment_count} {counted.save_count} {counted.view_count}"
        await self._put([f"{self._prefix}counts:{counted.post_id}"], [str(counted.sequence), counts, TTL_S])
