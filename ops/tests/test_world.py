import io

import pytest
from PIL import Image

from ops.photos import MOTIFS, SIZES, paint
from ops.world import CAPTIONS, STARS, make_world


def test_the_same_world_each_time_and_names_once() -> None:
    world = make_world(80, 200)
    assert world == make_world(80, 200)
    assert len({person.username for person in world.people}) == 80
    assert len(world.photos) == 200


def test_stars_are_followed_by_many_and_the_others_by_few() -> None:
    world = make_world(30, 60)
    followers = [sum(followee == i for _, followee in world.follows) for i in range(30)]
    assert min(followers[:STARS]) > 15
    assert sum(count < 10 for count in followers[STARS:]) > 15
    assert all(follower != followee for follower, followee in world.follows)


@pytest.mark.parametrize(("users", "posts"), [(1, 1), (2, 3), (4, 0)])
def test_small_worlds(users: int, posts: int) -> None:
    world = make_world(users, posts)
    assert (len(world.people), len(world.photos)) == (users, posts)


def test_each_motif_has_captions() -> None:
    assert set(CAPTIONS) == set(MOTIFS)


@pytest.mark.parametrize("motif", MOTIFS)
def test_photos_are_pictures_and_the_same_for_the_same_seed(motif: str) -> None:
    picture = Image.open(io.BytesIO(paint(motif, 3)))
    assert picture.size in SIZES
    low, high = picture.convert("L").getextrema()
    assert isinstance(low, int | float)
    assert isinstance(high, int | float)
    assert high - low > 100
