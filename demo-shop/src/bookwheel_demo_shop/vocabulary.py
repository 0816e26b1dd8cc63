# ruff: noqa: RUF001 - some titles are in other scripts
"""The words of the generated titles, names and descriptions."""

from collections.abc import Mapping


def _words(text: str) -> tuple[str, ...]:
    return tuple(text.split())


CATEGORIES: Mapping[str, int] = {
    "Fiction": 14,
    "Romance": 12,
    "Poetry": 11,
    "Mystery": 10,
    "Travel": 9,
    "Business": 8,
    "Science": 8,
    "Fantasy": 7,
    "Self Help": 6,
    "Historical Fiction": 6,
    "Children": 6,
    "Young Adult": 5,
    "Science Fiction": 5,
    "Nonfiction": 4,
    "Food and Drink": 4,
    "History": 4,
    "Thriller": 4,
    "Sequential Art": 4,
    "Music": 3,
    "Philosophy": 3,
    "Horror": 3,
    "Art": 3,
    "Biography": 2,
    "Psychology": 2,
    "Religion": 2,
    "Health": 2,
    "Sports and Games": 2,
    "Classics": 2,
    "Short Stories": 2,
    "Humor": 2,
    "Politics": 2,
    "Crafts & Hobbies": 1,
    "Gardening": 1,
    "Nature": 1,
    "Cultural": 1,
    "Academic": 1,
}
"""The weights of the categories. A category's share of the books is its weight divided by the sum of all weights."""

GIVEN_NAMES = _words(
    """
    Ada Amara Anselm Beatrix Bruno Carmen Chidi Clara Dagny Daniel Edith Elio Esme Farid Flora Gabriel Greta Hana Hugo
    Ines Isaac Ivo Jonas Juno Kamala Karim Leonie Lucian Mabel Marek Mina Nadia Nils Noor Olga Omar Otis Petra Priya
    Quentin Rafael Rosa Ruth Samir Selma Silas Tamsin Tariq Ulla Viktor Wanda Yara Yusuf Zelda Zoë José Søren Chloé
    """
)
FAMILY_NAMES = _words(
    """
    Abara Albrecht Ashdown Bellamy Bergström Blackwood Brandt Calloway Castellano Chaudhry Corbett Dahl Darrow
    Delacroix Demir Dufour Ekström Ellery Falk Fontaine Galloway Garnet Grimshaw Hakimi Halloran Hartmann Holm Ibsen
    Ivanova Jansen Kaplan Kessler Kovács Larkin Lindqvist Loomis Marchetti Mbeki McAllister Moreau Nakamura Novak
    O'Brien O'Dell Okafor Oyelaran Pemberton Petrov Quill Ravenel Rossi Salazar Sato Sinclair Strand Thackeray Ueda
    Valdez Vance Voss Whitlock Wren Yeats-Moore Young Zhang
    """
)
PLACES = _words(
    """
    Aldermoor Bellhaven Calder Cinderford Corvina Dunmarrow Eastermere Farrow Galloway Greyharbour Hallowell Isenwold
    Jericho Karst Larkspur Lindisholm Marrow Montrevel Nettlefield Orsova Palimpsest Quarryside Ravensmouth Saltmarsh
    Thornby Umberleigh Valparaiso Wexcombe Yarrow Zanthe
    """
)
ADJECTIVES = _words(
    """
    Amber Ancient Blind Borrowed Bright Broken Burning Clockwork Crooked Distant Drowned Empty Fallen Forgotten Frozen
    Gilded Glass Golden Hidden Hollow Honest Impossible Invisible Iron Last Little Lonely Lost Midnight Missing
    Northern Paper Patient Perfect Quiet Restless Scarlet Second Secret Seventh Silent Silver Sleeping Small Stolen
    Strange Stubborn Tender Thirteenth Twilight Unfinished Velvet Wandering White Wild Winter Wooden
    """
)
NOUNS = _words(
    """
    Almanac Anchor Apiary Archive Atlas Ballad Bargain Bell Bridge Cartographer Cathedral Chorus Clockmaker Compass
    Confession Crossing Daughter Door Dream Echo Ember Empire Engine Equation Evening Falcon Ferry Fire Forest Fortune
    Garden Ghost Harbour Heir House Inheritance Island Journey Keeper Kingdom Labyrinth Lantern Letter Library
    Lighthouse Map Meadow Memory Mirror Moon Mountain Museum Night Ocean Orchard Pact Painter Physician Piano Pilgrim
    Promise Question Raven Recipe River Road Room Rose Sea Shadow Sister Sky Song Star Station Storm Stranger Summer
    Tailor Tide Tower Train Traveller Voyage Wager Watchmaker Well Window Winter Witness Wolf Year
    """
)
SUBTITLES = (
    "A Novel",
    "A Memoir",
    "Stories",
    "A Short History",
    "The Complete Guide",
    "Essays",
    "A Life in Letters",
    "Notes from the Edge of the Map",
    "What We Got Wrong and Why It Matters",
    "One Hundred Days That Changed Everything",
)
FOREIGN_TITLES: tuple[tuple[str, tuple[str, ...]], ...] = (
    ("{} и {}", ("Море", "Звезда", "Тишина", "Ветер", "Город", "Письмо", "Зеркало", "Дождь")),
    ("{}と{}", ("海", "星", "静けさ", "風", "手紙", "鏡", "雨", "図書館")),
    ("{} και {}", ("Θάλασσα", "Αστέρι", "Σιωπή", "Άνεμος", "Πόλη", "Γράμμα", "Βροχή")),
    ("{} و{}", ("البحر", "النجمة", "الصمت", "الريح", "المدينة", "الرسالة", "المطر")),
    ("{}与{}", ("大海", "星辰", "寂静", "长风", "城市", "书信", "明镜")),
    ("{} और {}", ("समुद्र", "तारा", "मौन", "हवा", "नगर", "पत्र", "वर्षा")),
    ("{} et {}", ("L’Été", "La Forêt", "L’Œuvre", "Le Château", "La Fée", "Le Garçon", "Noël")),
    ("{} und {}", ("Die Brücke", "Der Fluß", "Das Märchen", "Die Königin", "Der Schlüssel", "Die Größe")),
    ("{} və {}", ("İşıq", "Gecə", "Dəniz", "Şəhər", "Çiçək", "Külək")),
)
"""For each of nine languages: a title pattern, and the words to fill in. The last three use accented Latin letters."""

SENTENCES = (
    "{name} returns to {place} with a {noun} that nobody will claim and a debt that everybody remembers.",
    "In {place}, a {adjective} {noun} waits for the one person who can no longer read it.",
    "When the {noun} of {place} disappears, {name} has three days and no friends left to ask.",
    "This is the story of a {noun}, a {adjective} {other} and the summer that came between them.",
    "{name} has never believed in luck, until a {adjective} {noun} arrives by the morning post.",
    "Drawing on letters and diaries, it follows {name} from {place} to the end of the known world.",
    "What begins as a quarrel about a {noun} ends by dividing a whole town.",
    "Nobody in {place} speaks about the {noun}; {name} means to find out why.",
    "Two families, one {noun} and a {adjective} promise made on the road to {place}.",
    "With clear examples and plain words, it shows how a {noun} becomes a {other}.",
    "Forty years later, the {adjective} {noun} is still there, and so is the question.",
    "It asks what we owe to the people who kept the {noun} before us.",
    "A chance meeting at the {noun} leads {name} to a {adjective} and dangerous answer.",
    "Part travel book, part confession, it begins in {place} and refuses to stay there.",
    "The winter is long, the {noun} is {adjective}, and somebody is lying.",
    "Includes maps, notes and an afterword about {place}.",
)
MARKER_SENTENCES: Mapping[str, tuple[str, ...]] = {
    "unforgettable": ("Readers call it unforgettable.", "An unforgettable book about {place}."),
    "luminous": ("Written in luminous prose.", "A luminous portrait of {name}."),
    "gripping": ("A gripping account from the first page.", "The gripping story of a {noun}."),
    "predictable": ("Some found the ending predictable.", "A predictable tale of a {noun}, say its critics."),
    "plodding": ("The plodding middle part divides opinion.", "One reviewer thought it plodding."),
}
"""Sentences with the marker words of the law. No other text of the shop contains these words."""
