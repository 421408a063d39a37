"""Names of the 26 styles, given after looking at each on a photo, a film frame and a face."""

from __future__ import annotations

#: number, name, description, aliases
STYLES: list[tuple[int, str, str, list[str]]] = [
    (0, "wheat", "ochre fields under a pale blue sky, fine canvas weave", ["harvest"]),
    (1, "comic", "thick black outlines and speed lines, flat yellow on grey", ["taxi"]),
    (2, "charcoal", "charcoal hatching on pale paper, washed with blue and peach", []),
    (3, "confetti", "glowing strips of red, blue and orange on black, nearly abstract", ["stained-glass"]),
    (4, "burgundy", "wine red shadows against cream, straw and light blue", ["wine"]),
    (5, "dusk", "slanting rust and violet strokes, a heavy evening sky", ["sunset"]),
    (6, "indigo", "deep indigo grounds pierced by dark dots, pale ridges for outlines", ["dots"]),
    (7, "bauhaus", "flat primary blue, yellow and brick red on black", ["primary"]),
    (8, "crayon", "pink, teal and yellow pencil strokes on white paper", ["pencil"]),
    (9, "mosaic", "teal and crimson ground broken by white flecks", ["tiles"]),
    (10, "copper", "glowing orange-brown on near black, lit as by a fire", ["terracotta"]),
    (11, "honey", "golden yellow with engraved brown lines on grey-white", ["gold"]),
    (12, "lavender", "soft lilac shadows and warm yellow light", ["lilac"]),
    (13, "jungle", "lime green, teal and scarlet with ridged dark contours", ["lime"]),
    (14, "frost", "icy teal washes with a blush of pink, thin cracked lines", ["ice"]),
    (15, "facet", "pastel shards with thin dark edges and emerald accents", ["crystal"]),
    (16, "rain", "slanting violet and blue streaks with olive and rust light", ["monsoon"]),
    (17, "brick", "woven bars and blocks of red, orange and blue, nearly abstract", ["blocks"]),
    (18, "woodcut", "cream lines carved in brown wood, a hint of olive", ["carving"]),
    (19, "starry", "swirling short strokes of night blue and yellow", ["starry-night"]),
    (20, "ember", "burning red over dark navy", ["fire"]),
    (21, "graffiti", "heavy black and white strokes over sky blue, sand and coral", ["street"]),
    (22, "poppy", "black ink on cream, periwinkle skies, sudden red patches", []),
    (23, "velvet", "soft dark green and black with cream light, an old oil painting", ["oil"]),
    (24, "wave", "a print in Prussian blue on cream paper, spray in the shadows", ["great-wave"]),
    (25, "impasto", "dense curling strokes of slate blue and orange, paint laid on thick", ["thick"]),
]


def check() -> None:
    """Names and aliases are unique, lower case, and cannot be taken for a number or a blend."""
    assert [s[0] for s in STYLES] == list(range(26))
    words = [word for _, name, _, aliases in STYLES for word in [name, *aliases]]
    assert len(set(words)) == len(words)
    assert all(word.replace("-", "").isalpha() and word == word.lower() for word in words)
