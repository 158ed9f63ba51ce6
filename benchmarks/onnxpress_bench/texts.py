"""The English sentences that the benchmark's inputs are made of, and texts of a wanted length made from them.

Knows nothing of tasks or models: what a token is, the caller says.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from numpy.random import Generator

SENTENCES: tuple[str, ...] = (
    "The ferry to Stromness was late again.",
    "I returned the kettle after a week because the lid no longer closed.",
    "Marie Curie moved to Paris in 1891 and enrolled at the Sorbonne.",
    "Nobody answered the phone.",
    "Stir the onions over a low flame until they turn golden, then add the rice and a ladle of hot stock.",
    "Our team shipped the migration on Friday evening and spent Saturday explaining why.",
    "What a wonderful little restaurant!",
    "The committee postponed its decision on the new tram line until the cost of the second bridge is known.",
    "Rain is expected in the north.",
    "She opened the letter, read it twice, and put it back into its envelope without a word.",
    "The battery lasts two days if the screen is kept dim, and barely one if it is not.",
    "Nokia opened a research office in Oulu in 1986.",
    "Do not use this heater in a bathroom.",
    "A lighthouse keeper on Skellig Michael recorded the weather every day for nineteen years.",
    "The sequel is longer, louder and much less fun than the first film.",
    "To reset the router, hold the small button on its back for ten seconds and wait for the green light.",
    "He laughed.",
    "Fresh water is heavier than ice, which is why lakes freeze from the top and fish survive the winter.",
    "The museum in Basel has lent four paintings by Paul Klee to a gallery in Osaka.",
    "My order arrived a day early and everything was packed with care.",
    "Prices rose by three percent in March, slightly less than analysts at the central bank had forecast.",
    "Which of the two keys opens the cellar door?",
    "The old printer jams whenever the paper is damp, so we keep a spare ream beside the radiator.",
    "Amina Yusuf won the 800 metres in Nairobi in a time that nobody had run there before.",
    "Turn left.",
    "The archive holds the correspondence of two generations of glassmakers, most of it about unpaid bills.",
    "Support was friendly but could not tell me when the part would be in stock.",
    "In 1969 the library of Alexandria, Virginia, counted more visitors than the town had inhabitants.",
    "Sort the records by date before you merge the two files, otherwise duplicates will remain.",
    "The soup was cold, the bread was stale, and the waiter forgot our drinks.",
    "An orchestra tunes to the oboe because its pitch is steady and its sound carries.",
    "We would come back any time.",
    "Samsung will build a second plant near Taylor, Texas, according to a filing with the county.",
    "After the storm the beach was covered with kelp, rope and three orange fishing buoys.",
    "The patch fixes a crash that occurred when the window was resized during playback.",
    "Please bring a coat, because the caves are cold even in August.",
    "Half of the voters in Zurich approved the plan to close the quay to cars on Sundays.",
    "It is the best novel I have read this year, although the last chapter feels rushed.",
    "A bee that has found a rich meadow dances in the hive to tell the others where it lies.",
    "The lift is out of order.",
    "Check the oil level while the engine is cold and the car stands on even ground.",
    "Ludwig Zamenhof published his first Esperanto textbook in Warsaw in 1887 under a pseudonym.",
    "The headphones sound fine, but they hurt after an hour and the cable is far too short.",
    "Two hikers were found unharmed near Ben Nevis on Tuesday morning after a search that lasted all night.",
    "Let the dough rest.",
    "The court in Strasbourg ruled that the journalist had not been given a fair hearing.",
    "If the file already exists, the program asks before it writes over it.",
    "Olive trees can live for more than a thousand years, and some of those in Crete still bear fruit.",
    "The seller ignored my messages for three weeks and then blocked me.",
    "Johannes Kepler calculated the orbit of Mars from observations that Tycho Brahe had made without a telescope.",
    "There is a bakery on the corner that opens at five.",
    "The new timetable gives commuters from Ghent a direct train to Brussels Airport every half hour.",
    "I expected little and was delighted.",
    "A thin layer of wax keeps the blade from rusting, provided that it is dry when you put it away.",
    "Researchers at the University of Otago measured how far kea parrots travel in search of food.",
    "The hotel looked nothing like its photographs.",
    "Her grandfather had carved the chess set from a single plank of walnut during the winter of 1947.",
    "Save your work now.",
    "The bridge was closed to lorries after engineers noticed a crack in one of its bearings.",
    "Great value for the money, easy to assemble, and still as good as new after two years.",
    "Before sugar became cheap, cooks in northern Europe sweetened their cakes with honey and dried pears.",
    "The minister flew to Jakarta on Monday for talks about fishing rights.",
    "Nothing in the manual explains what the blinking red light means.",
    "He planted the beans in May.",
)

QUESTIONS: tuple[str, ...] = (
    "Where did it happen?",
    "Who is mentioned first?",
    "When was it?",
    "What should be done?",
    "What went wrong?",
    "How long did it take?",
)

Count = Callable[[str], int]


def text_of(tokens: int, count: Count, rng: Generator) -> str:
    """Whole sentences in random order, the last cut after a word, of at most `tokens` tokens (at least one word).

    `count` gives the tokens of a text as the model will see it.
    """
    words: list[str] = []
    while count(" ".join(words)) < tokens:
        words += SENTENCES[int(rng.integers(len(SENTENCES)))].split()
    fits, over = 1, len(words)
    while fits < over:  # the most words that fit
        middle = (fits + over + 1) // 2
        fits, over = (middle, over) if count(" ".join(words[:middle])) <= tokens else (fits, middle - 1)
    return " ".join(words[:fits])
