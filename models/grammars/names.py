"""Names of people, places and organisations, real and composed, split by spelling.

Surnames and towns are partly composed of the same syllables ("Ashford", "Kirkby"), so that only
the context tells a person from a place, and so that held-out names are new words, not new pairs.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

from grammars.core import Split, part, words

WOMEN = words("""Alice Amelia Anna Beatrice Bella Carla Charlotte Clara Daisy Diana Elena Eliza Emma Esther Eva
    Fatima Fiona Flora Grace Greta Hannah Helen Ingrid Irene Isabel Jane Joanna Julia Karen Kate Laura
    Leila Lena Linda Louise Lucy Maria Marta Maya Mina Nadia Nina Nora Olga Olivia Paula Petra Priya
    Rachel Rita Rosa Ruth Sara Sofia Stella Susan Tara Teresa Vera Yasmin Yuki Zoe""")
MEN = words("""Adam Ahmed Albert Andrew Anton Arthur Ben Boris Carlos Charles Daniel David Diego Edgar Eric
    Felix Frank George Hamid Harry Henry Hugo Ian Ivan Jack Jacob James John Jonas Karl Kenji Leo Liam
    Louis Luis Marco Martin Max Michael Miguel Nils Noah Oliver Omar Oscar Otto Paul Pedro Peter Ravi
    Robert Samuel Simon Stefan Thomas Tim Tom Victor Walter William Yusuf""")
_REAL_SURNAMES = words("""Adams Ali Allen Anderson Baker Becker Bell Brown Campbell Carter Chen Clark Cohen Collins Cook
    Costa Cruz Davies Diaz Edwards Evans Fischer Foster Garcia Gomez Gray Green Gupta Hall Hansen
    Harris Hughes Ito Jackson Johnson Jones Kaya Kelly Khan Kim King Kowalski Kumar Larsen Lee Lewis
    Lopez Martinez Meyer Miller Moore Morris Murphy Nakamura Nguyen Novak Olsen Park Parker Patel
    Perez Petrov Phillips Popov Quinn Reed Rivera Roberts Rossi Russo Sanchez Santos Sato Schmidt
    Silva Singh Smith Suzuki Tanaka Taylor Thompson Torres Turner Walker Wang Watson Weber White
    Williams Wilson Wood Wright Yamada Young Zhang""")
_REAL_CITIES = words("""Amsterdam Athens Atlanta Baghdad Bangkok Barcelona Berlin Bogota Boston Brussels Budapest Cairo
    Chicago Copenhagen Dakar Dallas Delhi Denver Detroit Dublin Edinburgh Florence Frankfurt Geneva
    Glasgow Hamburg Hanoi Havana Helsinki Houston Istanbul Jakarta Kyoto Lagos Leeds Lima Lisbon
    Liverpool London Lyon Madrid Manchester Manila Melbourne Miami Milan Montreal Moscow Mumbai Munich
    Nairobi Naples Osaka Oslo Ottawa Oxford Paris Philadelphia Phoenix Porto Prague Rome Rotterdam
    Santiago Seattle Seoul Seville Shanghai Singapore Stockholm Sydney Tehran Tokyo Toronto Tunis
    Turin Valencia Venice Vienna Warsaw Zurich""")
COUNTRIES = words("""Argentina Australia Austria Belgium Brazil Bulgaria Canada Chile China Colombia Croatia Cuba
    Denmark Egypt Estonia Ethiopia Finland France Germany Ghana Greece Hungary Iceland India Indonesia
    Iran Iraq Ireland Israel Italy Japan Jordan Kenya Latvia Lebanon Lithuania Malaysia Mexico Morocco
    Nepal Nigeria Norway Pakistan Peru Poland Portugal Romania Russia Scotland Senegal Serbia Slovakia
    Slovenia Spain Sudan Sweden Switzerland Syria Thailand Tunisia Turkey Uganda Ukraine Venezuela
    Vietnam Zambia""")
DEMONYMS = words("""American Argentine Australian Austrian Belgian Brazilian British Bulgarian Canadian Chilean
    Chinese Colombian Croatian Cuban Czech Danish Dutch Egyptian English Estonian Ethiopian European
    Finnish French German Greek Hungarian Indian Iranian Irish Italian Japanese Kenyan Korean Mexican
    Moroccan Nigerian Norwegian Peruvian Polish Portuguese Romanian Russian Scottish Serbian Spanish
    Swedish Swiss Syrian Thai Turkish Ukrainian Vietnamese Welsh""")
_HEADS = words("""Ash Black Brad Brook Bur Clay Crow Dal Darn Ed El Fair Fen Hart Hazel Hol Kirk Lang Lin Marl
    Mill Nor Oak Pem Rad Raven Rose Rush Sel Shel Stan Stock Thorn Wal War West Whit Win Wood York""")
_TAILS = words("borough bridge bury by combe dale den field ford ham hurst ley low mere stead ton well wick worth")
_COMPOSED = tuple(head + tail for head in _HEADS for tail in _TAILS)
REGIONS = tuple(
    f"{side} {place}"
    for side in ("North", "South", "East", "West", "Upper", "Lower", "New", "Lake", "Mount", "Port")
    for place in ("Arlen", "Bresk", "Calder", "Dorne", "Elmar", "Garth", "Hallin", "Kessel", "Lorne", "Marran")
)


@dataclass(frozen=True, slots=True)
class Names:
    """The names of one side of the split."""

    women: tuple[str, ...]
    men: tuple[str, ...]
    surnames: tuple[str, ...]
    cities: tuple[str, ...]
    countries: tuple[str, ...]
    regions: tuple[str, ...]
    demonyms: tuple[str, ...]

    @property
    def given(self) -> tuple[str, ...]:
        return self.women + self.men


@cache
def names(split: Split) -> Names:
    """Real and composed names; the composed ones serve as surnames and as towns alike.

    The few real ones are listed several times so that a uniform draw gives as many of each.
    """
    composed = part(_COMPOSED, split)
    return Names(
        women=part(WOMEN, split),
        men=part(MEN, split),
        surnames=part(_REAL_SURNAMES, split) * 4 + composed,
        cities=part(_REAL_CITIES, split) * 3 + composed[::3],
        countries=part(COUNTRIES, split),
        regions=part(REGIONS, split),
        demonyms=part(DEMONYMS, split),
    )
