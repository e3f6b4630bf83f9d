"""Settings of the counters worker."""

from pydantic import Field

from libs.common.core.settings import Settings


class CountersSettings(Settings):
    """The settings of the counters worker."""

    ledger_epoch: int = Field(
        default=0,
        ge=0,
        le=1 << 18,
        description="increase it after the topic `interactions` was created again or got more partitions: "
        "offsets then start from 0, and writes would lose against the stored rows",
    )
