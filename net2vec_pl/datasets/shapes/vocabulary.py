"""The concepts of the ``shapes`` dataset: a fixed list; the number of a concept is its place in it.

Names follow BRODEN: colours end in ``-c``, scenes in ``-s``. ``wheel`` stands in two categories,
for a wheel is a part of a car and an object where it lies about alone.
"""

from net2vec_pl.concepts import Category, Concept, Vocabulary

CATEGORIES = (
    Category("color", pixels=True),
    Category("object", pixels=True),
    Category("part", pixels=True),
    Category("material", pixels=True),
    Category("scene", pixels=False),
    Category("texture", pixels=False),
)

# Red, green and blue, 0 to 255, of the middle of each of BRODEN's eleven colours.
COLORS = {
    "black-c": (26, 26, 30),
    "blue-c": (48, 98, 208),
    "brown-c": (118, 72, 38),
    "green-c": (58, 148, 58),
    "grey-c": (132, 132, 132),
    "orange-c": (240, 138, 32),
    "pink-c": (246, 156, 192),
    "purple-c": (128, 56, 164),
    "red-c": (206, 38, 42),
    "white-c": (240, 240, 236),
    "yellow-c": (242, 216, 58),
}

_NAMES = {
    "color": " ".join(COLORS),
    "object": "sky sea grass road sand mountain cloud sun "
    "house car tree person boat flower rocket fish",
    "part": "roof wall door window knob wheel hub trunk crown head eye torso arm leg hull sail "
    "petal stem fin tail",
    "material": "brick wood tile fabric metal stone",
    "scene": "street-s seaside-s meadow-s desert-s night-s underwater-s",
    "texture": "striped dotted chequered zigzagged grid spiralled",
}

# Concepts that also occur outside their primary category.
_ALSO_IN = {"wheel": ("object",)}


def _build_vocabulary() -> Vocabulary:
    pixels = {category.name: category.pixels for category in CATEGORIES}
    listed = [(name, category) for category, names in _NAMES.items() for name in names.split()]
    return Vocabulary(
        Concept(
            number=number,
            name=name,
            category=category,
            categories=(category, *_ALSO_IN.get(name, ())),
            pixels=pixels[category],
        )
        for number, (name, category) in enumerate(listed, start=1)
    )


VOCABULARY = _build_vocabulary()

# The empty name is what an unlabelled pixel carries.
NUMBERS = {"": 0} | {concept.name: concept.number for concept in VOCABULARY}
