from deploy.observability.timing import Timing


def test_the_real_times_are_unchanged() -> None:
    timing = Timing()
    assert (timing.scrape, timing.scrape_timeout) == ("15s", "10s")
    assert timing.duration(300) == "5m"
    assert timing.expression("rate(a[5m]) > seconds(2m) offset 1w") == "rate(a[5m]) > 120 offset 1w"


def test_one_factor_shortens_windows_offsets_ages_and_durations() -> None:
    timing = Timing(10)
    assert (timing.scrape, timing.scrape_timeout) == ("1500ms", "1500ms")
    assert timing.duration(300) == "30s"
    assert timing.expression("rate(a[5m] offset 1w) > seconds(2m)") == "rate(a[30s] offset 1008m) > 12"


def test_a_window_has_at_least_four_scrapes() -> None:
    assert Timing(60).scrape == "1s"
    assert Timing(60).expression("min_over_time(a[2m])") == "min_over_time(a[4s])"


def test_a_duration_in_a_label_or_a_name_is_left_alone() -> None:
    assert Timing(10).expression('slo:failed:rate5m{window="1h"}') == 'slo:failed:rate5m{window="1h"}'
