from prometheus_client import REGISTRY
from redis.exceptions import ConnectionError as RedisConnectionError

from ops.hot_keys import HotKeyWatch


async def test_listed_keys_are_shown_until_they_leave_the_list() -> None:
    answers: list[dict[str, float] | Exception] = [
        {"a": 2_000, "b": 1_500},
        RedisConnectionError(),
        {"b": 10},
        {},
    ]

    async def find() -> dict[str, float]:
        answer = answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer

    def shown() -> dict[str, float]:
        per_s = {key: REGISTRY.get_sample_value("feedmill_hot_key_operations", {"key": key}) for key in ("a", "b")}
        return {key: value for key, value in per_s.items() if value is not None}

    watch = HotKeyWatch(find)
    for expected in ({"a": 2_000, "b": 1_500}, {"a": 2_000, "b": 1_500}, {"b": 10}, {}):
        await watch.sample()
        assert shown() == expected
