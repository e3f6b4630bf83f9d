"""Settings of the counters worker."""

from pydantic import Field

from libs.common.core.settings import Settings


class CountersSettings(Settings):
    """Common settings and these."""

    ledger_epoch: int = Field(
        default=0,
        ge=0,
        le=1 << 18,
        description="raise it whenever the topic `interactions` was made anew or got more partitions: "
        "offsets begin again then, and writes would be older than what is there",
    )
