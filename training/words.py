"""The words of the demo language, as data: the pools that `grammar` and `german` draw from."""


def _words(text: str) -> tuple[str, ...]:
    return tuple(text.split())


NUMBERS = _words(
    "zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen "
    "sixteen seventeen eighteen nineteen twenty"
)
DIGITS = NUMBERS[:10]
TENS = _words("twenty thirty forty fifty sixty seventy eighty ninety")
COLOURS = _words("red blue green yellow black white brown orange")
ADJECTIVES = _words(
    "good bad big small old new young long short hot cold warm fast slow happy sad beautiful quiet loud "
    "dark easy hard quick lazy clear strong early late"
)
PEOPLE = _words(
    "man woman child boy girl teacher student doctor friend mother father brother sister king queen driver"
)
ANIMALS = _words("cat dog bird horse fish cow fox mouse")
THINGS = _words(
    "house door window table chair book letter car train bus bicycle phone computer server box bag bed "
    "key flower garden tree apple egg cup glass picture camera radio lamp map clock ball boat bridge road "
    "street room kitchen school station airport hospital market shop church park river mountain island "
    "city village country field forest message question answer story song word name number sentence paper "
    "file test machine model voice sound"
)
FOOD = _words("water coffee tea milk bread cheese rice meat fruit sugar soup salt")
NATURE = _words("sun moon star sky wind rain snow weather ocean world earth fire light air")
WEEKDAYS = _words("Monday Tuesday Wednesday Thursday Friday Saturday Sunday")
TIMES = _words("today tomorrow yesterday now later again always never often")
TIMES_OF_DAY = _words("morning afternoon evening night")
UNITS = _words("day week month year hour minute second")
PERSON_NAMES = _words("Anna Peter Maria David")
CITIES = _words("London Paris Berlin")
DIRECTIONS = _words("east west north south")

TRANSITIVE = _words(
    "sees likes opens closes writes finds brings takes gives makes buys sells needs wants has moves holds "
    "watches loves paints"
)
INFINITIVE = _words(
    "see like open close write find bring take give make buy sell need want have move hold watch love paint"
)
INTRANSITIVE = _words("walks runs sings plays eats drinks sleeps works waits speaks stops rises sets jumps")
OTHERS = _words(
    "and or but the is are was not yes very only all many some more much other every this that these it "
    "he she we they you I my your his her with please thank thanks hello goodbye sorry welcome how what "
    "when who why which where can will must help call say speak listen come go start stop think because "
    "if there here first last next left right up down out back away open closed north south east west "
    "speech audio text whisper people home time line money music color side end part hand head face eye "
    "life side way half please hundred thousand"
)
PLURALS = _words(
    "cats dogs birds horses books houses letters cars apples eggs friends brothers sisters keys words "
    "files chairs flowers trees pictures questions numbers days weeks months years hours minutes seconds "
    "songs doors windows"
)

# Words that sound like another one, or like nothing, are left out of sentences without grammar to tell
# them apart.
HOMOPHONES = frozenset({"two", "four", "to", "for", "a", "an", "I"})
ALONE = tuple(
    sorted(
        {
            *NUMBERS,
            *TENS,
            *COLOURS,
            *ADJECTIVES,
            *PEOPLE,
            *ANIMALS,
            *THINGS,
            *FOOD,
            *NATURE,
            *TIMES,
            *TIMES_OF_DAY,
            *UNITS,
            *TRANSITIVE,
            *INFINITIVE,
            *INTRANSITIVE,
            *OTHERS,
            *WEEKDAYS,
            *PERSON_NAMES,
            *CITIES,
            *PLURALS,
        }
        - HOMOPHONES
    )
)
