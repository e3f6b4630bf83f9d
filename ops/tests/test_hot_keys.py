from prometheus_client import REGISTRY
from redis.exceptions import ConnectionError as RedisConnectionError

from libs.common.core.logging import AccountHash
from ops.hot_keys import OPERATIONS, HotKeyWatch


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

    watch = HotKeyWatch(find, AccountHash("secret"))
    for expected in ({"a": 2_000, "b": 1_500}, {"a": 2_000, "b": 1_500}, {"b": 10}, {}):
        await watch.sample()
        assert shown() == expected


async def test_a_shown_key_has_no_id_of_an_account_and_no_address() -> None:
    hashed = AccountHash("secret")

    async def find() -> dict[str, float]:
        return {"rate:{ip:203.0.113.9}:requests": 3_000, "feed:{3}:list:204281234567890123": 2_000}

    await HotKeyWatch(find, hashed).sample()
    shown = {sample.labels["key"] for metric in OPERATIONS.collect() for sample in metric.samples}
    assert shown >= {f"rate:{{ip:{hashed('203.0.113.9')}}}:requests", f"feed:{{3}}:list:{hashed('204281234567890123')}"}
    assert not any("203.0" in key or "20428" in key for key in shown)
