"""The sample world as data: users, posts and follows. The same seed makes the same world."""

import random
from collections.abc import Sequence
from dataclasses import dataclass

PASSWORD = "feedmill-sample"  # noqa: S105 - printed for everyone
SEED = 20_240_101
STAR_SHARE = 0.8  # of all people follow each star
STARS = 3
FOLLOWEES = (4, 8)

NAMES = (
    "Alice Moreau", "Ben Okafor", "Chiara Rossi", "Daniel Kim", "Elif Kaya", "Felix Brandt",
    "Grace Liu", "Hugo Silva", "Ines Castro", "Jonas Berg", "Keiko Tanaka", "Liam Murphy",
    "Maya Patel", "Noah Fischer", "Olivia Hart", "Pavel Novak", "Quinn Avery", "Rosa Delgado",
    "Sami Haddad", "Tara Singh", "Uma Nair", "Victor Lang", "Wanda Kowalska", "Ximena Ruiz",
    "Yusuf Demir", "Zoe Martin", "Amara Diallo", "Bruno Costa", "Clara Jensen", "Dmitri Orlov",
)  # fmt: skip
BIOS = (
    "Light, mostly.",
    "Looks up a lot. #skies",
    "Weekend walker, weekday dreamer.",
    "Collects horizons.",
    "Small things, close up.",
    "Cities after dark.",
    "Film grain enthusiast.",
    "Somewhere between tea and trains.",
)
CAPTIONS: dict[str, tuple[str, ...]] = {
    "ridges": (
        "Five layers of quiet. #mountains #morning",
        "Up before the sun, for once. #mountains #hike",
        "The valley kept its fog for us. #landscape #mountains",  # prose-allow kept: a caption of the sample world
    ),
    "city": (
        "Everybody is home, every window says so. #city #night",
        "Last tram, first stars. #city #skyline",
        "From the roof, in the cold, worth it. #night #skyline",
    ),
    "sea": (
        "The sea was counting light. #sea #evening",
        "Salt on everything. #sea #horizon",
        "No wind, no hurry. #ocean #evening",
    ),
    "bloom": (
        "The garden overdid it again. #flowers #garden",
        "Dahlias, allegedly. #flowers #bloom",
        "Opened overnight. #bloom #macro",
    ),
    "terrazzo": (
        "Floors deserve more attention. #pattern #design",
        "Found this in a stairwell. #terrazzo #design",
        "Chips and all. #pattern #colour",
    ),
    "dunes": (
        "Wind did the drawing. #desert #dunes",
        "Footprints last an hour here. #dunes #travel",
        "Slanting light, long shadows. #desert #light",
    ),
}
COMMENTS = (
    "Oh, this light!", "Where is this?", "Stunning.", "I can hear the quiet.", "Saved for my wall.", "The colours!",
    "You always find these.", "Take me along next time.", "Wow.", "That sky though.", "Instant favourite.", "So calm.",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Person:
    """Someone of the sample world."""

    username: str
    display_name: str
    bio: str


@dataclass(frozen=True, slots=True)
class Photo:
    """A post: `author` is an index into the people, `seed` makes the picture."""

    author: int
    motif: str
    seed: int
    caption: str


@dataclass(frozen=True, slots=True)
class World:
    """People, edges (follower, followee) and posts, all by index."""

    people: tuple[Person, ...]
    follows: tuple[tuple[int, int], ...]
    photos: tuple[Photo, ...]


def make_world(users: int, posts: int) -> World:
    """A world of this size. The first three people are stars: nearly all follow them."""
    rng = random.Random(SEED)
    people = tuple(_person(i) for i in range(users))
    follows = sorted({edge for i in range(users) for edge in _follows(rng, i, users)})
    motifs = tuple(CAPTIONS)
    photos = tuple(
        Photo(i % users if i < users else rng.randrange(users), motif, SEED + i, rng.choice(CAPTIONS[motif]))
        for i, motif in ((i, motifs[i % len(motifs)]) for i in range(posts))
    )
    return World(people, tuple(follows), photos)


def _person(index: int) -> Person:
    name = NAMES[index % len(NAMES)]
    round_ = index // len(NAMES)
    username = name.split()[0].lower() + (str(round_ + 1) if round_ else "")
    return Person(username, name, BIOS[index % len(BIOS)])


def _follows(rng: random.Random, follower: int, users: int) -> Sequence[tuple[int, int]]:
    others = [i for i in range(STARS, users) if i != follower]
    wanted = min(len(others), rng.randint(*FOLLOWEES))
    stars = [star for star in range(min(STARS, users)) if star != follower and rng.random() < STAR_SHARE]
    return [(follower, followee) for followee in (*stars, *rng.sample(others, wanted))]
