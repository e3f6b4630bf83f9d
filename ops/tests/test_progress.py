from libs.common.kafka.lag import GroupProgress
from libs.common.testing.samples import sample
from ops.progress import GROUPS, ProgressRecorder


def test_committed_offsets_are_counted_from_the_first_reading_on() -> None:
    def committed() -> float:
        return sample("feedmill_consumer_committed_total", group="feed")

    recorder, start = ProgressRecorder(), committed()
    counted = []
    for offset in (1_000, 1_010, 1_010, 40, 45):  # somebody reset the offsets to 40
        recorder.record({"feed": GroupProgress(7, offset)})
        counted.append(committed() - start)
    assert counted == [0, 10, 10, 10, 15]
    assert sample("feedmill_consumer_lag_messages", group="feed") == 7
    assert sample("feedmill_kafka_up") == 1


def test_a_kafka_that_starts_again_and_knows_no_offsets_yet_changes_nothing() -> None:
    recorder = ProgressRecorder()
    recorder.record({"fanout": GroupProgress(7, 1_000)})
    start = sample("feedmill_consumer_committed_total", group="fanout")
    recorder.record({"fanout": GroupProgress(5_000_000, 0)})
    assert sample("feedmill_consumer_lag_messages", group="fanout") == 7
    recorder.record({"fanout": GroupProgress(8, 1_001)})
    assert sample("feedmill_consumer_lag_messages", group="fanout") == 8
    assert sample("feedmill_consumer_committed_total", group="fanout") == start + 1


def test_every_group_is_watched() -> None:
    assert {"feed", "fanout", "fanout-chunks", "fanout-slow-chunks", "counters", "media-worker"} <= GROUPS.keys()
