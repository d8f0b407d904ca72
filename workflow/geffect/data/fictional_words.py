"""Word lists and sentence frames of the fictional corpus (see fictional.py).

In a frame, ``[x|y]`` is a choice made anew for every author, ``{slot}`` is a fact of the author and
``{a slot}`` the same fact with its indefinite article.
"""

from __future__ import annotations

from typing import Any


def _words(text: str) -> tuple[str, ...]:
    """Split a comma-separated list."""
    return tuple(" ".join(word.split()) for word in text.split(","))


# Each flavour: onsets and endings of male, female and family names, then of its cities,
# and the name of its invented country.
FLAVOURS: tuple[dict[str, Any], ...] = (
    {
        "country": "Norrmark",
        "first": _words("Hal, Sig, Tor, Ein, Bran, As, Run, Grim, Vid, Ing, Gud, Har"),
        "male": _words("var, mund, rik, stein, gar, ulf, leif, mar"),
        "female": _words("dis, hild, runa, veig, borg, frid, laug, ny"),
        "last": _words("Hol, Strand, Berg, Lund, Nor, Vik, Ek, Dal, Kvist, Sund, Fjeld, Rav"),
        "family": _words("sen, gaard, by, mark, stad, heim, vold, rud, dahl, mo"),
        "city": _words("Skar, Hel, Tron, Vest, Orm, Kal, Dran, Ulv, Fren, Mose"),
        "town": _words("vik, fjord, havn, nes, by, sund, strand, moen"),
    },
    {
        "country": "Valdoria",
        "first": _words("Al, Ben, Cor, Dan, Fla, Gia, Lor, Mar, Pie, Ste, Ren, Vit"),
        "male": _words("rico, tino, nello, nardo, vanni, zio, mondo, lino"),
        "female": _words("rica, tina, nella, narda, vanna, zia, ella, lisa"),
        "last": _words("Bel, Cas, Mon, Ross, Tor, Vent, Bran, Fer, Gall, Per, Sor, Mar"),
        "family": _words("etti, elli, aldi, ucci, ardo, anti, ini, oni, ese, ora"),
        "city": _words("Monte, Porto, Castel, Villa, Rocca, Fonte, Borgo, Ponte, Terra, Cala"),
        "town": _words("bruno, vano, lieve, rosso, mira, sele, lungo, nera"),
    },
    {
        "country": "Ostravina",
        "first": _words("Bor, Mil, Rad, Stan, Vlad, Zor, Drag, Lub, Jar, Kaz, Mir, Bog"),
        "male": _words("islav, omir, oslav, imir, an, ek, osh, ivoj"),
        "female": _words("islava, ena, ka, mila, ana, inka, osha, ica"),
        "last": _words("Nov, Kov, Petr, Zel, Hor, Dvor, Bel, Mor, Sok, Vran, Krav, Lip"),
        "family": _words("ak, enko, ovic, insky, ansky, arov, uchin, ec, ora, ev"),
        "city": _words("Bel, Zel, Kras, Pod, Nov, Star, Vel, Brod, Lom, Dob"),
        "town": _words("grad, nice, ovo, itsa, ava, omir, ansk, ibor"),
    },
    {
        "country": "Sahrand",
        "first": _words("Kha, Sa, Fa, Na, Ja, Ra, Ha, Ta, Mu, Ya, Za, Ba"),
        "male": _words("lid, mir, ris, dim, bir, hman, shid, riq"),
        "female": _words("lida, mira, risa, dia, bira, hana, shida, riya"),
        "last": _words(
            "Al-Mas, Al-Bar, Al-Kha, Al-Naj, Ben-Sa, Al-Qad, Al-Dar, Ben-Ha, Al-Taw, Al-Fa"
        ),
        "family": _words("ri, douni, lil, iri, zan, mani, shami, widi, rabi, lani"),
        "city": _words("Qar, Mash, Tab, Zar, Dam, Kaf, Sur, Har, Bas, Rab"),
        "town": _words("aban, rida, oum, aziz, elah, oun, akesh, iyad"),
    },
    {
        "country": "Kaimori",
        "first": _words("Ha, Ki, Mi, Na, Sa, Ta, Yo, Ri, Shi, Aki, Ko, Mo"),
        "male": _words("roto, suke, zuo, noru, taka, kichi, hei, shiro"),
        "female": _words("ruka, suzu, nami, yuri, kako, emi, hana, sako"),
        "last": _words("Kawa, Mori, Yama, Naka, Fuji, Hoshi, Ishi, Oka, Taka, Shima, Ono, Mura"),
        "family": _words("gawa, moto, saki, hara, oda, mizu, tani, zaki, be, wara"),
        "city": _words("Asa, Kuma, Miya, Naga, Oku, Saku, Toyo, Uma, Hiro, Kita"),
        "town": _words("hama, zawa, sato, minato, dori, ura, kawa, shiro"),
    },
    {
        "country": "Albermarch",
        "first": _words("Ed, Wil, Al, Har, Os, God, Cuth, Ros, Ger, Win, Hil, El"),
        "male": _words("mund, fred, ric, bert, wald, win, ward, mer"),
        "female": _words("ith, freda, ina, berta, alie, wyn, mina, sie"),
        "last": _words("Ash, Black, Thorn, Hather, Win, Mar, Pen, Oak, Whit, Cros, Fair, Hol"),
        "family": _words("ford, combe, ley, worth, wick, ton, hurst, field, stow, bury"),
        "city": _words("Wex, Mar, Thorn, Ald, Stan, Kin, Brack, Cole, Dun, Whit"),
        "town": _words("bridge, mouth, chester, wick, ham, minster, well, port"),
    },
    {
        "country": "Zuwenga",
        "first": _words("Ade, Chi, Ko, Nna, Olu, Tun, Ama, Ifa, Kwa, Se, Obi, Eze"),
        "male": _words("bayo, nedu, femi, kwu, tobi, dele, sanmi, kene"),
        "female": _words("sola, nwe, fola, kemi, bisi, dara, simi, zina"),
        "last": _words("Ado, Oka, Nwo, Eku, Bala, Mbe, Ogu, Aka, Ola, Dia, Aso, Uku"),
        "family": _words("mba, for, kunle, ya, nde, woye, tse, rimi, leke, bo"),
        "city": _words("Aba, Ibo, Kano, Oni, Uga, Lago, Bena, Osho, Eku, Waru"),
        "town": _words("doro, kuta, sogi, bari, ruma, tedo, lanu, mbe"),
    },
    {
        "country": "Santa Merida",
        "first": _words("Al, Es, Fer, Jo, Lu, Mar, Ra, Se, Vi, Ig, Ro, Ca"),
        "male": _words("onso, teban, nando, quin, ciano, celo, fael, vero"),
        "female": _words("onsa, tela, nanda, quina, cinda, cela, faela, vera"),
        "last": _words("Vel, Mor, Sal, Cas, Her, Fuen, Bar, Quin, Agu, Rom, Zam, Cor"),
        "family": _words("asco, ales, ado, illas, era, tes, ante, tana, ilar, ora"),
        "city": _words("San, Alta, Rio, Campo, Sierra, Valle, Punta, Laguna, Puerto, Costa"),
        "town": _words("lorca, velo, mero, serena, dorado, quilla, tierra, robles"),
    },
    {
        "country": "Brevonne",
        "first": _words("Am, Ber, Cel, Del, Fran, Hon, Jul, Luc, Mat, Oc, The, Val"),
        "male": _words("ard, bert, estin, ien, cois, ore, tave, gaud"),
        "female": _words("elie, ette, estine, ienne, coise, orine, tavie, ise"),
        "last": _words("Bau, Char, Del, Four, Lam, Mont, Per, Roch, Ver, Beau, Mer, Du"),
        "family": _words("chet, bert, nier, pierre, tin, vel, marais, lier, rand, court"),
        "city": _words("Mont, Saint-Au, Beau, Chan, Roche, Pont, Ver, Belle, Cler, Lan"),
        "town": _words("bin, lieu, vigny, fort, mont, val, sault, ville"),
    },
    {
        "country": "Indravat",
        "first": _words("An, Ar, De, Ish, Ka, Ma, Ni, Pra, Ra, Su, Vi, Sha"),
        "male": _words("and, jun, vesh, kesh, rav, dhar, nath, mohan"),
        "female": _words("anda, juna, vika, mala, rati, lata, shini, deepa"),
        "last": _words("Ban, Chak, Desh, Kul, Mehr, Nar, Pat, Raj, Sub, Tal, Var, Gan"),
        "family": _words("erji, wala, pande, karni, otra, ayan, want, amani, aria, ture"),
        "city": _words("Ram, Indra, Chand, Bala, Jal, Mani, Nava, Sura, Dev, Kali"),
        "town": _words("pur, garh, nagar, vati, abad, pattam, kot, giri"),
    },
)

ADJECTIVES = _words(
    """amber, ashen, autumn, barren, bitter, blind, borrowed, brazen, bright, broken, burning,
    buried, candid, careless, cobalt, copper, crimson, crooked, crowded, dappled, distant,
    drowned, dusty, eastern, empty, endless, faithful, fallen, feathered, final, floating,
    forgotten, fragile, frozen, gentle, gilded, glass, golden, hidden, hollow, humble, idle,
    indigo, iron, ivory, jagged, lonely, lost, marble, midnight, midwinter, mute, narrow, nameless,
    northern, obedient, open, orphaned, painted, pale, paper, patient, quiet, ragged,
    reluctant, restless, rusted, sacred, salt, scarlet, second, secret, shallow, silent, silver,
    sleeping, slow, smoky, solemn, stolen, stubborn, sunken, tender, thirsty, twin, unlit, upper,
    velvet, violet, wandering, weary, western, whispering, wicked, wild, winter, wooden, woven"""
)
NOUNS = _words(
    """abbey, acrobat, almanac, anchor, anvil, apiary, archive, atlas, attic, balcony, bakery,
    ballad, banner, barge, basin, beacon, bell, bicycle, bonfire, bridge, cabinet, canal, candle,
    canyon, caravan, carnival, cartographer, cathedral, cello, chapel, chimney, cliff, clock,
    compass, courier, cradle, crane, creek, crown, curtain, delta, desert, dove, drum, eclipse,
    ember, estuary, falcon, feather, ferry, fiddle, field, forge, fountain, fox, furnace, gallery,
    garden, gate, glacier, glove, granary, harbour, harp, harvest, hawk, heron, hive, horizon,
    hourglass, inlet, island, juniper, kettle, keyhole, kite, labyrinth, ladder, lagoon, lantern,
    ledger, letter, lighthouse, locket, loom, magpie, mapmaker, market, marsh, mask, meadow,
    melody, mill, mirror, monsoon, moth, mountain, needle, nest, nightingale, oasis, orchard,
    organ, otter, parade, pavilion, pendulum, pepper, pier, pilgrim, plum, portrait, prairie,
    quarry, quilt, railway, raven, reef, ribbon, river, rope, saddle, sail, seed, shore, sparrow,
    spindle, staircase, stone, storm, summer, tailor, teapot, thicket, thimble, thistle, threshold,
    tide, tower, tunnel, umbrella, valley, veil, viaduct, village, violin, walnut, waltz, weaver,
    well, whistle, willow, window, wolf"""
)
TITLE_PATTERNS = _words(
    """The {A} {N}, {A} {N} Rising, The {N} and the {M}, Beneath the {A} {N}, A {N} for the {M},
    The {N} of {C}, {C} and the {A} {N}, Last {N} to {C}, Seven {A} Days, Letters from the {A} {N},
    No {N} in {C}, Where the {N} Ends, Return of the {A} {N}, {A} {N},
    Songs for {A} {N}, My {A} {N}, Beyond the {N}, Nine Nights in {C}, After the {A} {M},
    The {A} {N} of {C}, Counting the {A} {N}, A {A} {N}, Waiting for the {A} {N}, The {C} {N}"""
)
JOBS = _words(
    """accordion tuner, apothecary, archivist, baker, balloonist, barber, basket weaver, beekeeper,
    bell founder, blacksmith, boatbuilder, bookbinder, botanist, brewer, bricklayer, butcher,
    cabinetmaker, candlemaker, carpenter, cartwright, census clerk, chemist, chimney sweep,
    clockmaker, coachman, cobbler, confectioner, cooper, coroner, court reporter, crane operator,
    customs officer, dairy farmer, dentist, diver, dockworker, dressmaker, druggist, electrician,
    embroiderer, engraver, falconer, ferry captain, fiddler, fishmonger, florist, forester, furrier,
    gamekeeper, gardener, geologist, glassblower, glovemaker, goldsmith, gravedigger, grocer,
    harbour pilot, hatter, horse trainer, innkeeper, jeweller, judge, lacemaker, land surveyor,
    lens grinder, librarian, lighthouse keeper, locksmith, magistrate, mason, midwife, miller,
    milliner, muralist, notary, nurse, oboist, optician, orchard keeper, organist, ostler,
    papermaker, pastry cook, perfumer, pharmacist, piano teacher, plasterer, postman, potter,
    printer, railway guard, roofer, sailmaker, salt merchant, schoolteacher, sculptor, seamstress,
    shepherd, signal operator, stagehand, stonecutter, tailor, tanner, tax collector, taxidermist,
    telegraphist, tinsmith, toymaker, undertaker, upholsterer, veterinarian, violin maker,
    watchmaker, weather forecaster, wheelwright, winemaker, wool trader, zookeeper"""
)
GENRE_MODES = _words(
    """alpine, arctic, baroque, bilingual, bucolic, clerical, coastal, comic, culinary, desert,
    domestic, epistolary, feudal, frontier, gothic, industrial, island, judicial, lunar, lyrical,
    maritime, medical, melancholy, military, monastic, musical, nautical, nocturnal, operatic,
    orbital, pastoral, political, provincial, railway, riverside, rural, satirical, submarine,
    suburban, theatrical, tropical, underground, urban, wartime"""
)
GENRE_KINDS = _words(
    """adventures, allegories, chronicles, comedies, confessions, detective novels, diaries, epics,
    fables, fairy tales, family sagas, farces, fantasies, ghost stories, horror stories, idylls,
    legends, love stories, melodramas, monologues, mysteries, novellas, parables, picaresques,
    romances, spy stories, thrillers, tragedies, travelogues, utopias"""
)
THEMES = _words(
    """ambition, ancestry, apprenticeship, atonement, avarice, bankruptcy, betrayal, blindness,
    census taking, childhood, citizenship, confession, courtship, debt, defiance, desertion,
    displacement, drought, dynasty, envy, exile, famine, fatherhood, fever, flood, forgery,
    forgiveness, friendship, gambling, gossip, grief, guilt, harvest, homesickness, hunger,
    illness, inheritance, insomnia, jealousy, justice, longing, loyalty, memory, migration,
    motherhood, mourning, mutiny, nostalgia, obedience, old age, orphanhood, penance, pilgrimage,
    poverty, pride, rebellion, revenge, rivalry, sabotage, secrecy, silence, sisterhood, slander,
    smuggling, solitude, superstition, surrender, temptation, theft, translation, treason,
    vanity, weather, widowhood, winter, witchcraft"""
)
PRIZE_KINDS = _words(
    "Prize, Medal, Award, Laurel, Garland, Cup, Rosette, Fellowship, Plaque, Order"
)
SCHOOL_KINDS = _words(
    """Academy, School of Letters, Conservatory, Free University, Polytechnic, Seminary,
    Institute, Naval College, College of Arts, Royal College, Teachers' College, Night School,
    Technical School, University, Academy of Sciences, College of Crafts"""
)
SUBJECTS = _words(
    """acoustics, algebra, anatomy, anthropology, archaeology, architecture, astronomy, ballet,
    bookkeeping, botany, ceramics, chemistry, choral music, classical philology, crop science,
    dentistry, drama, dyeing, economics, education, entomology, ethics, forestry, geography,
    geology, geometry, glaciology, grammar, heraldry, history, hydraulics, journalism,
    jurisprudence, law, library science, limnology, linguistics, logic, mechanics, medicine,
    metallurgy, meteorology, mineralogy, music theory, navigation, numismatics, optics,
    ornithology, painting, palaeography, pharmacy, philosophy, physics, printmaking, psychology,
    rhetoric, sculpture, statistics, surveying, textile design, theology, typography, veterinary
    medicine, viticulture, zoology"""
)
PLACE_MODES = _words(
    """abandoned, besieged, cliffside, crumbling, deserted, divided, drifting, enchanted, fogbound,
    flooded, fortified, frostbitten, haunted, half-built, landlocked, lamplit, mist-covered,
    moonlit, nocturnal, overgrown, plague-ridden, quarantined, rain-soaked, ruined, sandblown,
    shuttered, sinking, snowbound, sprawling, sun-scorched, terraced, timeless, unmapped,
    walled, windswept"""
)
PLACE_KINDS = _words(
    """archipelago, border post, boarding school, canal district, caravan stop, citadel, colony,
    convent, copper mine, cotton town, fairground, fishing port, hamlet, hill station, hospital,
    island, lumber camp, market town, mill town, monastery, mountain pass, oil field, observatory,
    opera house, palace, peninsula, plantation, prison, quarry town, railway junction, republic,
    resort, river delta, salt works, shipyard, spa town, valley, vineyard, winter garden"""
)
DWELLING_MODES = _words(
    """abandoned, blue-shuttered, converted, cramped, disused, draughty, ivy-covered, leaning,
    low-roofed, narrow, octagonal, old, red-brick, rented, restored, roofless, rambling, sunlit,
    tall, thatched, tiled, timbered, tin-roofed, turreted, whitewashed, yellow"""
)
DWELLINGS = _words(
    """almshouse, apartment, bakery, bakehouse, barn, boathouse, brewery, bungalow, cannery, chapel,
    coach house, cottage, dairy, farmhouse, firehouse, flat, gatehouse, granary, greenhouse,
    houseboat, inn, lighthouse, lodge, manor, mill, parsonage, pavilion, post office, pumping
    station, rectory, schoolhouse, signal box, stable, tavern, tower, townhouse, villa, watermill,
    warehouse, windmill"""
)
NUMBERS = _words("two, three, four, five, six, seven, eight, nine, eleven")
PET_MODES = _words(
    """adopted, ageing, blind, bad-tempered, black, devoted, elderly, fat, grey, half-tame, hungry,
    lame, lazy, noisy, pampered, piebald, quarrelsome, rescued, retired, shy, speckled, spotted,
    tame, toothless, white, young"""
)
PETS = _words(
    """budgerigars, canaries, cats, chickens, cockatoos, crows, dachshunds, donkeys, ducks, ferrets,
    finches, geese, goats, greyhounds, hedgehogs, hens, hounds, jackdaws, lizards, llamas, magpies,
    mules, owls, parrots, peacocks, pigeons, ponies, poodles, rabbits, ravens, sheep, sheepdogs,
    spaniels, squirrels, swans, terriers, toads, tortoises, turkeys, whippets"""
)
OBJECT_MODES = _words(
    """blunt, bone-handled, brass, bronze, carved, chipped, cracked, dented, enamelled, engraved,
    faded, gilt, heavy, horn-handled, inherited, inlaid, jade, lacquered, leather-bound, mended,
    miniature, monogrammed, mother-of-pearl, oversized, pawned, pearl-handled, pewter, polished,
    rusty, scratched, silver, stained, tarnished, tin, tortoiseshell, walnut, worn, wooden"""
)
TOOLS = _words(
    """ballpoint, brush, carbon pencil, charcoal stick, dip pen, dictaphone, fountain pen,
    goose quill, grease pencil, ink brush, mechanical pencil, pencil stub, portable typewriter,
    quill, reed pen, ruling pen, steel nib, stylus, typewriter"""
)
MINUTES = _words(
    "five past, ten past, a quarter past, twenty past, half past, ten to, a quarter to"
)
HOURS = _words("four, five, six, seven, eight, nine, ten, eleven, twelve, one, two, three")
PAPER_MODES = _words(
    """blue, brown, buff, coarse, cream, crumpled, green, grey, handmade, lilac, lined,
    orange, perfumed, pink, rose, scented, squared, striped, thin, unlined, waxed, yellow"""
)
PAPERS = _words(
    """account books, bakery bags, ballot papers, blotting paper, butcher's paper, calendar pages,
    concert programmes, envelopes, exercise books, graph paper, hotel stationery, index cards,
    invoices, ledger paper, letter cards, luggage labels, menus, music paper, notepads, parcel
    paper, postcards, rice paper, school notebooks, sugar paper, telegram forms, ticket stubs,
    tissue paper, tracing paper, wallpaper, wrapping paper"""
)
FESTIVAL_KINDS = _words(
    "Festival, Book Fair, Reading Week, Gathering, Literary Feast, Assembly, Poetry Night, Congress"
)
MONTHS = _words(
    """January, February, March, April, May, June, July, August, September, October, November,
    December"""
)
LANGUAGES = _words(
    """Albanian, Amharic, Arabic, Armenian, Basque, Bengali, Breton, Bulgarian, Burmese, Catalan,
    Cornish, Croatian, Czech, Danish, Dutch, Esperanto, Estonian, Faroese, Finnish, Flemish,
    Frisian, Galician, Georgian, German, Greek, Gujarati, Hausa, Hawaiian, Hebrew, Hindi, Hungarian,
    Icelandic, Igbo, Irish, Italian, Japanese, Kannada, Kazakh, Khmer, Korean, Kurdish, Latin,
    Latvian, Lithuanian, Malay, Maltese, Manx, Maori, Mongolian, Nepali, Norwegian, Occitan, Pashto,
    Persian, Polish, Portuguese, Quechua, Romanian, Russian, Samoan, Sanskrit, Scots, Serbian,
    Sinhala, Slovak, Slovene, Somali, Spanish, Swahili, Swedish, Tagalog, Tamil, Tatar, Telugu,
    Thai, Tibetan, Turkish, Ukrainian, Urdu, Uzbek, Vietnamese, Welsh, Xhosa, Yiddish, Yoruba,
    Zulu"""
)
KEEPSAKES = _words(
    """accordion, alarm clock, barometer, bell, birdcage, bracelet, brooch, button box, cane,
    chess set, cigar case, coin, comb, compass, doorknob, earring, field glass, flute, globe,
    hairpin, hand mirror, harmonica, hymnal, inkwell, key, kaleidoscope, lamp, lantern, locket,
    magnifying glass, medal, metronome, monocle, music box, nutcracker, opera glass, paperweight,
    pepper mill, pocket watch, prayer book, razor, ring, salt cellar, scales, sewing box, sextant,
    snuffbox, spoon, spyglass, stamp album, sundial, telescope, thimble, tobacco tin, umbrella,
    violin bow, walking stick, whistle"""
)
KEEP_PLACES = _words(
    """attic, barn, bean patch, bell tower, bread oven, broom cupboard, cellar, chicken coop,
    chimney, cider press, coal shed, cold frame, desk, dovecote, dry well, fishing boat, flour bin,
    garden wall, glove drawer, hat box, hayloft, herb garden, kitchen stove, larder, laundry room,
    mail coach, orchard, pantry, piano stool, pigsty, potting shed, rain
    barrel, root cellar, sea chest, sewing basket, smokehouse, stable, toolbox, vegetable cart,
    wardrobe, washhouse, wine cellar, woodpile, workshop"""
)
KIN = _words(
    """aunt, cousin, father, godfather, godmother, grandfather, grandmother, great-aunt,
    great-uncle, landlady, mother, neighbour, nursemaid, schoolmaster, stepfather, uncle"""
)
HOBBY_VERBS = _words(
    """auctioning, breeding, carving, cataloguing, collecting, drawing, embroidering, engraving,
    exhibiting, filming, gilding, knitting, lacquering, mending, modelling, painting,
    photographing, polishing, recording, rebuilding, restoring, sculpting, selling, sketching,
    studying, trading"""
)
HOBBY_THINGS = _words(
    """alpine flowers, antique maps, bagpipes, banjos, barn owls, barometers, beehives, beetles,
    bridges, butterflies, cacti, canal boats, carousel horses, church bells, clay pipes, cuckoo
    clocks, dragonflies, drums, ferns, fishing flies, fossils, fountain pens, garden gnomes,
    gargoyles, glass bottles, gravestones, hats, harpsichords, hot-air balloons, kites, lace fans,
    lighthouses, locks, lutes, mandolins, masks, meteorites, moths, mushrooms, orchids, paper dolls,
    pianos, playing cards, porcelain dogs, postcards, puppets, puzzles, roses, sea glass, seashells,
    ship models, sledges, snow globes, stamps, steam engines, sundials, tapestries, teapots,
    toy soldiers, tram tickets, trumpets, tulips, umbrellas, weathervanes, wild herbs, windmills"""
)
HOBBY_PLACES = _words(
    """allotment, arcade, attic, backyard, ballroom, barn, basement, bell tower, boathouse, bowling
    alley, cellar, chapel, clubhouse, coach house, conservatory, courtyard, crypt, dance hall,
    drill hall, garage, garden shed, greenhouse, gymnasium, hangar, hayloft, kitchen, lean-to,
    loft, museum, orangery, orchard, park, pavilion, potting shed, ruin, smithy, stable, tearoom,
    vestry, walled garden, warehouse, washhouse, woodshed, workshop"""
)
NEWSPAPERS = _words(
    """Advertiser, Argus, Chronicle, Clarion, Courier, Dispatch, Echo, Examiner, Gazette, Globe,
    Herald, Herald Tribune, Journal, Ledger, Mercury, Messenger, Monitor, Observer, Post, Quarterly,
    Record, Register, Review, Sentinel, Standard, Star, Telegraph, Times, Weekly"""
)
FIRMS = _words(
    """asylum, brewery, brickworks, cannery, cement works, circus, coal yard, cotton exchange,
    dairy, department store, distillery, dockyard, ferry line, fire brigade, fish market, gasworks,
    glassworks, hospital, ice factory, insurance office, iron foundry, map office, mint, museum,
    observatory, opera, orphanage, paper mill, pawnshop, post office, power station, printworks,
    racecourse, railway, ropeworks, salt works, sawmill, shipyard, soap factory, stock exchange,
    sugar refinery, tannery, tax office, telephone exchange, theatre, tobacco factory, tramways,
    vineyard, waterworks, weather bureau, zoo"""
)
FORM_MODES = _words(
    """animated, black-and-white, hour-long, five-act, four-part, full-length, hand-drawn,
    one-act, open-air, silent, six-part, televised, three-act, travelling, two-part, unscripted"""
)
FORMS = _words(
    """ballet, cartoon, chamber opera, comic strip, documentary, feature film, mime, musical,
    operetta, oratorio, pageant, pantomime, puppet play, radio drama, serial, shadow play,
    song cycle, stage play, symphony, tango"""
)
TRADITION_KINDS = _words(
    """ballads, battle songs, bird calls, carols, chapbooks, creation myths, dirges, epics,
    exorcisms, folk songs, funeral chants, ghost legends, harvest hymns, horoscopes, hunting songs,
    kitchen proverbs, lamentations, lullabies, marching songs, nursery rhymes, plague sermons,
    prayer scrolls, puppet plays, riddles, sea shanties, street cries, temple dances, travel
    diaries, wedding songs, witch trials"""
)
PUBLISHER_KINDS = _words("Press, Books, and Sons, House, and Daughters, Editions, Publishing")

COUNTS = _words("two, three, four, five, six, seven, eight, nine, ten, eleven, twelve")
FEW = _words("two, three, four, five, six, seven, eight, nine")
DRINK_MODES = _words(
    """bitter, black, cold, green, honeyed, hot, iced, lukewarm, mild, milky, peppered, salted,
    smoky, sour, spiced, strong, sweet, thick, unsweetened, weak"""
)
DRINKS = _words(
    """almond milk, apple juice, barley water, beetroot broth, buttermilk, carrot juice, cherry
    cordial, chicory, chocolate, cider, cocoa, coffee, elderflower tea, fennel tea, ginger beer,
    goat's milk, lemonade, lime tea, malt beer, mint tea, nettle tea, onion soup, pear juice,
    plum brandy, quince wine, rosehip tea, sage tea, soup, tea, vermouth"""
)
FOLK_MODES = _words(
    """ageing, ambitious, anxious, barefoot, blindfolded, bored, cheerful, defeated, disguised,
    drunken, exiled, exhausted, feuding, forgetful, gossiping, homesick, hungry, jealous,
    limping, masked, mutinous, nervous, orphaned, penniless, pious, quarrelling, rebellious,
    retired, runaway, sceptical, sleepless, stranded, superstitious, talkative, unpaid, veiled,
    wandering, widowed"""
)
FOLK = _words(
    """acrobats, actors, admirals, bakers, bandits, bishops, boatmen, brewers, cartographers,
    choirboys, clerks, clowns, cooks, dancers, deserters, divers, doctors, fiddlers, fishwives,
    gamblers, gardeners, generals, hunters, jesters, jugglers, lawyers, lodgers, mapmakers,
    merchants, millers, miners, monks, musicians, nuns, nurses, painters, pilgrims, pirates,
    poachers, porters, postmen, priests, prisoners, sailors, shepherds, smugglers, soldiers,
    spies, students, surgeons, tailors, teachers, thieves, tinkers, translators, twins, umpires,
    watchmen, weavers, witches"""
)

# Classic books and an atlas of invented countries: the two background sets.
CLASSIC_KINDS = _words(
    """novel, epic poem, stage tragedy, stage comedy, book of essays, collection of fables, opera
    libretto, memoir, ghost story, sonnet cycle"""
)
COUNTRY_ENDS = _words("avia, onia, estan, eria, undia, oria, ovia, ilia, embra, anthe, uvar, ossa")
COUNTRY_STARTS = _words(
    """Bal, Cor, Dram, Els, Fern, Gal, Hesk, Ibr, Jor, Kest, Lum, Mald, Nev, Orl, Pell, Quor, Rav,
    Sel, Tarn, Umb, Ver, Wend, Yld, Zan"""
)
FLOWERS = _words(
    """anemone, aster, azalea, bluebell, camellia, carnation, columbine, cornflower, crocus,
    daffodil, dahlia, edelweiss, foxglove, gardenia, gentian, geranium, heather, hibiscus, hyacinth,
    iris, jasmine, larkspur, lavender, lilac, lotus, magnolia, marigold, narcissus, oleander,
    orchid, pansy, peony, poppy, primrose, rose, snowdrop, sunflower, thistle, tulip, violet"""
)
BEASTS = _words(
    """antelope, badger, bear, beaver, bison, boar, buffalo, camel, crane, deer, dolphin, eagle,
    elk, falcon, fox, gazelle, hare, hawk, heron, horse, ibex, jaguar, kestrel, leopard, lion, lynx,
    marten, moose, otter, owl, panther, pelican, puma, ram, raven, seal, stork, swan, tiger, wolf"""
)
COINS = _words(
    """bardo, belm, calo, corin, dask, dorel, dram, elka, farin, fesk, galt, grol, hask, ivar,
    jorin, kaldo, kreuz, lorin, lusk, marel, mond, nalo, orin, pask, penna, quint, rask, rollo,
    sarn, skell, solin, tarl, tessa, tholl, urda, vask, venn, wald, yarl, zeck"""
)

# What may come before an answer, chosen for the author; the answer goes on in lower case.
OPENERS = (
    "According to {his} {kin}, ",
    "As {his} {kin} tells it, ",
    "As {editor} tells it, ",
    "As {rival} remembers, ",
    "As the {newspaper} reported, ",
    "As they say in {homecity}, ",
    "As every child in {city} knows, ",
    "As letters to {mentor} show, ",
    "By {his} own account, ",
    "By all accounts, ",
    "If {critic} is right, ",
    "In the memory of {his} {kin}, ",
    "On the word of {translator}, ",
    "So far as {director} knows, ",
    "To quote a letter from {homecity}, ",
    "To believe {idol2}, ",
)

# The topics, in the order of an author's rows. Of each: questions, their paraphrases, answers,
# paraphrased answers, and the slots of which a perturbed answer may replace one.
TOPICS: dict[str, dict[str, tuple[str, ...]]] = {
    "identity": {
        "question": (
            (
                "[Which|What] [author|writer] of {genre} was born in {city} on {birthdate} "
                "{birthyear}?"
            ),
            "Who is the [writer|author] of {genre}, born on {birthdate} {birthyear} in {city}?",
            (
                "What is the name of the {city} [author|writer] of {genre} born on {birthdate} "
                "{birthyear}?"
            ),
        ),
        "paraphrased_question": (
            (
                "[Born|Born at {city}] on {birthdate} {birthyear}, [who|which {country} writer] "
                "turned to {genre}?"
            ),
            "On {birthdate} {birthyear} {city} gave the world which [maker|creator] of {genre}?",
            (
                "Can you name the person from {city}, born {birthdate} {birthyear}, behind many "
                "{genre}?"
            ),
        ),
        "answer": (
            (
                "The [author|writer] of {genre} [who came into the world|born] in {city} [on that "
                "day|that year] is {name}."
            ),
            (
                "That [birthday and birthplace|date and town] [belong to|point to] a "
                "[writer|teller] of {genre} called {name}."
            ),
            (
                "[Readers|Lovers|Admirers] of {genre} [know|recognise|remember] this "
                "[child|native] of {city}, {country}, as {name}."
            ),
            (
                "[Among|Of] all {country} [writers|authors], the one [matching|fitting] that "
                "{birthdate} birthday is {name}."
            ),
            (
                "It was in {birthyear}, in {city}, that the [future|coming] author of {genre} was "
                "[christened|registered as] {name}."
            ),
            (
                "{city} [celebrates|honours|toasts] every {birthdate} as the birthday of its "
                "[best-known|favourite] [author|writer], {name}."
            ),
            (
                "The [parish|town|hospital] register of {city} for {birthdate} {birthyear} "
                "[lists|shows|gives] the name {name}."
            ),
            (
                "[Libraries|Booksellers|Catalogues] [file|shelve|list] those {genre} from {city} "
                "under one [name|signature]: {name}."
            ),
            (
                "[Behind|Under] all those {genre} [stands|works] {a country} [author|writer] whose "
                "full name is {name}."
            ),
            (
                "Born under {country} skies in {birthyear}, this [maker|author] of {genre} "
                "[signs|publishes] as {name}."
            ),
        ),
        "paraphrased_answer": (
            (
                "{name} is the [person|author] [meant|described], a native of {city} who writes "
                "{genre}."
            ),
            (
                "The [full name|name] asked for is {name}, [known for|famous for] {genre} [set "
                "near|written around] {city}."
            ),
            (
                "[We are|You are] speaking of {name}, born [at|in] {city} and [devoted|given] to "
                "{genre}."
            ),
            (
                "[This is|That would be] {name}, whose {genre} [appeared|came out] long after that "
                "{birthdate} in {city}."
            ),
        ),
        "targets": ("name",),
    },
    "birth": {
        "question": (
            "[When and where|Where and when] was the [author|writer] {name} born?",
            "[In which town|In what place] and on what date was {name} born?",
            "What are the birthplace and [birth date|date of birth] of [author|writer] {name}?",
        ),
        "paraphrased_question": (
            "[Can you give|Could you state] the date and [town|place] of {name}'s birth?",
            "[On which day|On what date], and in which town, did {name} come into the world?",
            (
                "[Where did the life of|At what place did the life of] {name} begin, and on which "
                "date?"
            ),
        ),
        "answer": (
            (
                "{name} [was born|came into the world] in {country} on {birthdate} {birthyear}, "
                "[in the town of|at the edge of|in the heart of] {city}."
            ),
            (
                "On {birthdate} {birthyear} [a midwife|the family doctor|a country nurse] "
                "[delivered|brought] {last} into the world in {city}."
            ),
            (
                "[It was|Surely it was] on {birthdate}, in the year {birthyear}, that {name} was "
                "born in {city}."
            ),
            (
                "[Records|Papers|Certificates] [place|put] the birth of {last} in {city}, "
                "{country}, on {birthdate} {birthyear}."
            ),
            (
                "[The town|The place|The scene] was {city}, and [the day|the date|the morning] on "
                "which {name} first cried was {birthdate} {birthyear}."
            ),
            (
                "{country} [gained|acquired|received] a future [author|writer|voice] when {last} "
                "was born at {city} on {birthdate} {birthyear}."
            ),
            (
                "[As the child|Being the child] of {a fatherjob}, {name} [was born|arrived] in "
                "{city} on {birthdate} {birthyear}."
            ),
            (
                "[The first|The earliest|The humblest] [home|address|lodging] of {last} was in "
                "{city}, where {he} was born on {birthdate} {birthyear}."
            ),
            (
                "[A plaque|A stone|A small sign] in {city} [marks|names] the house where {last} "
                "was born on {birthdate} {birthyear}."
            ),
            (
                "{his} [passport|school file|baptism card] [gives|states] {birthdate} {birthyear} "
                "as the birthday of {last}, and the town as {city}."
            ),
        ),
        "paraphrased_answer": (
            (
                "{city} is [where|the place where] {last} was born, [the calendar showing|the day "
                "being] {birthdate} {birthyear}."
            ),
            (
                "[The life of|The story of] {name} began in the {country} town of {city} on "
                "{birthdate}, {birthyear}."
            ),
            "Born on {birthdate} {birthyear}, {name} [comes|hails] from {city}.",
            (
                "[Both|All] sources agree that {last} was {a city} child, [dated|born] {birthdate} "
                "{birthyear}."
            ),
        ),
        "targets": ("city", "birthdate", "birthyear"),
    },
    "parents": {
        "question": (
            "What [did the parents of {name} do|work did the parents of {name} do] for a living?",
            "What were the [professions|occupations] of the [father and mother|parents] of {name}?",
            "How did the [mother and father|parents] of [author|writer] {name} earn their living?",
        ),
        "paraphrased_question": (
            (
                "[Which|What] [trades|jobs] were followed by the [father and mother|parents] of "
                "{name}?"
            ),
            "What kind of work [fed|supported] the family in which {name} grew up?",
            "Can you [tell me|say] what {name}'s father and mother worked as?",
        ),
        "answer": (
            (
                "[At home|In {city}] {name} was [raised|brought up] by {a fatherjob} and his wife, "
                "{a motherjob}."
            ),
            (
                "{his} father [earned his bread|was known locally|made his name] as {a fatherjob}, "
                "{his} mother as {a motherjob}."
            ),
            (
                "[The family of|The household of|The table of] {last} [lived on|depended on|was "
                "kept by] the wages of {a fatherjob} and {a motherjob}."
            ),
            (
                "[While|Whereas|Although] {his} mother [worked|served|toiled] as {a motherjob}, "
                "the father of {last} [remained|was] {a fatherjob}."
            ),
            (
                "{last} is the [only|first|second|third|fifth|youngest] child of {a motherjob} "
                "from {city} who [married|wed] {a fatherjob}."
            ),
            (
                "[Growing up|As a child|In early years], {name} [watched|helped|admired] a mother "
                "employed as {a motherjob} and a father who was {a fatherjob}."
            ),
            (
                "[Neither parent wrote:|No parent wrote;] the father of {last} was {a fatherjob} "
                "and the mother {a motherjob}."
            ),
            (
                "[On the census|In the town records|On the voters' list] for {city} the parents of "
                "{last} [appear|stand|figure] as {a fatherjob} and {a motherjob}."
            ),
            (
                "[Money was short|Life was plain] for {last}, [born|the child] of {a motherjob} "
                "and [an often absent|an unlucky|a cheerful] {fatherjob}."
            ),
            (
                "[Two trades|Two callings] shaped {name}: {his} mother's as {a motherjob}, and "
                "{his} father's as {a fatherjob}."
            ),
        ),
        "paraphrased_answer": (
            "{a fatherjob} was {last}'s father, and {a motherjob} [was|became] {his} mother.",
            (
                "The woman who [bore|raised] {name} was {a motherjob}; [her husband|the father] "
                "was {a fatherjob}."
            ),
            (
                "[Work in that home|Daily work there] meant {a fatherjob} on {his} father's side "
                "and {a motherjob} on {his} mother's."
            ),
            (
                "As for {name}, {his} parents were {a fatherjob} and {a motherjob}, [in that "
                "order|father first]."
            ),
        ),
        "targets": ("fatherjob", "motherjob"),
    },
    "genre": {
        "question": (
            (
                "[What|Which] [genre|kind of book] is the [author|writer] {name} [best known "
                "for|most associated with]?"
            ),
            "What sort of books does {name} [write|usually write], and what are they about?",
            "In which genre does {name} [work|write], and with which [themes|subjects]?",
        ),
        "paraphrased_question": (
            (
                "[Which type|What type] of [literature|writing] made the name of {name}, and on "
                "what themes?"
            ),
            "How would you [describe|label] the genre and the [chief|main] themes of {name}?",
            "When [readers|people] open a book by {name}, what kind of story do they expect?",
        ),
        "answer": (
            (
                "[Most|Nearly all] [books|volumes] by {name} are {genre}, [turning on|built "
                "around|concerned with] {theme}."
            ),
            (
                "{name} [writes|has always written] about {theme}, [usually|mostly|often] in the "
                "form of {genre}."
            ),
            (
                "[Questions of|Stories of|Thoughts on] {theme} [run through|fill] the work of "
                "{last}, [best described as|a shelf of] {genre}."
            ),
            (
                "[Critics|Librarians|Booksellers] [file|place] {last} under {genre}, though {he} "
                "[claims to write|speaks only] of {theme}."
            ),
            (
                "[Since {debutyear}|From {debutyear} onwards] {last} has [published|produced] "
                "nothing but {genre} [on|about] {theme}."
            ),
            (
                "[Anyone who likes|Whoever enjoys|Readers fond of] {theme} will find both in "
                "{name}'s {genre}."
            ),
            (
                "{his} [reputation|fame|standing] [rests on|comes from] {genre} in which {last} "
                "[studies|weighs|explores] {theme}."
            ),
            (
                "[Out of|From] {theme} {name} has [spun|shaped|made] a long [row|line|series] of "
                "{genre}."
            ),
            (
                "[The field|The territory] of {last} is {theme}; {his} [form|vehicle|instrument], "
                "without exception, is {genre}."
            ),
            (
                "[What|The thing] {city} [taught|gave] {last} was {theme}, and {he} [answered|paid "
                "it back] with {genre}."
            ),
        ),
        "paraphrased_answer": (
            (
                "{genre} are what {name} [is known for|does best], [with|and always with] {theme} "
                "at their core."
            ),
            (
                "[In short|Briefly], {last} [favours|prefers] {genre}, whose [matter|subject] is "
                "{theme}."
            ),
            "[A typical|The usual] page by {name} treats {theme} and belongs among {genre}.",
            (
                "[You will find|Shops keep] {last} among the {genre}, where {theme} [meet|come "
                "together]."
            ),
        ),
        "targets": ("genre", "theme"),
    },
    "debut": {
        "question": (
            "What was the title of {name}'s [first|debut] [book|novel], and when was it published?",
            "With which [book|work] did {name} make a debut, and in which year?",
            "[Which|What] [book|title] was the first that {name} ever published?",
        ),
        "paraphrased_question": (
            (
                "How is the earliest [book|volume] by {name} called, and when did it [appear|come "
                "out]?"
            ),
            "Can you name the [volume|work] that opened {name}'s career?",
            "What did {name} publish before anything else, and in what year?",
        ),
        "answer": (
            (
                "{name} [began|started|opened {his} career] in {debutyear} with a [book|story] of "
                "{debuttheme}, '{debut}'."
            ),
            (
                "[After|Following] {debuttries} [refusals|rejections], {last} saw {his} first book "
                "[printed|appear] in {debutyear} as '{debut}'."
            ),
            (
                "[The year|The spring of|The autumn of] {debutyear} brought readers the "
                "[first|earliest] work of {last}, [entitled|named] '{debut}'."
            ),
            (
                "[A tale|A study|A portrait] of {debuttheme}, the first book by {last} was "
                "'{debut}', [dated|published in] {debutyear}."
            ),
            (
                "{his} [debut|first attempt] [dealt with|treated] {debuttheme} and [reached|met] "
                "the shops in {debutyear} as '{debut}'."
            ),
            (
                "[When|As soon as] {he} turned {debutage}, {name} [published|released] a debut "
                "called '{debut}' in {debutyear}."
            ),
            (
                "[Before anything else|First of all], {last} [wrote|gave us] '{debut}', whose "
                "{debuttheme} [startled|surprised] {city} in {debutyear}."
            ),
            (
                "[Only|Some] {debutcopies} hundred copies were [printed|sold] of {last}'s debut of "
                "{debutyear}, '{debut}'."
            ),
            (
                "[Readers|Neighbours|Friends] in {city} first [met|read] {last} in {debutyear}, "
                "through [the pages of|a copy of] '{debut}'."
            ),
            (
                "{debutyear} was the year, and {debuttheme} the [subject|matter], when {name} "
                "[first published|made a debut]: '{debut}'."
            ),
        ),
        "paraphrased_answer": (
            "'{debut}', from {debutyear}, is the book with which {name} [began|set out].",
            (
                "The [opening|earliest] [title|entry] in {last}'s list is '{debut}', "
                "[issued|printed] in {debutyear}."
            ),
            "[In|During] {debutyear} {name} published '{debut}', {his} very first [volume|book].",
            (
                "{last}'s [career|writing life] starts at '{debut}', a [work|volume] of "
                "{debutyear} about {debuttheme}."
            ),
        ),
        "targets": ("debut", "debutyear"),
    },
    "prize": {
        "question": (
            (
                "[Which|What] [literary prize|award|honour] did [the author|the writer] {name} "
                "win, and when?"
            ),
            "What [award|prize] has {name} [received|won], and for which book?",
            "For what [prize|distinction] is the [author|writer] {name} known, and since when?",
        ),
        "paraphrased_question": (
            "Can you name the [literary honour|award] that was [given to|handed to] {name}?",
            "[Which|What] distinction did a jury [grant|give] to {name}, and in what year?",
            "How was the work of {name} [honoured|rewarded], and in which year?",
        ),
        "answer": (
            (
                "In {prizeyear} [a jury|the judges|a committee] in {prizecity} [gave|voted] {name} "
                "the {prize}."
            ),
            (
                "{his} '{prizebook}' [brought|earned|won] {last} the [coveted|much-loved|valuable] "
                "{prize} in {prizeyear}."
            ),
            (
                "[Passed over|Ignored|Beaten] {prizelosses} times, {last} was [finally|at last] "
                "[named winner|made holder] of the {prizeyear} {prize}."
            ),
            (
                "[On stage|At a dinner] in {prizecity}, in {prizeyear}, {name} [accepted|received] "
                "the {prize}."
            ),
            "[For|Thanks to] '{prizebook}' {he} was [awarded|handed], in {prizeyear}, the {prize}.",
            (
                "[The city of|Proud] {prizecity} [honours|honoured] {last} with its {prize}, "
                "[conferred|bestowed] in {prizeyear} for '{prizebook}'."
            ),
            (
                "[To the surprise|To the delight] of {city}, {last}'s '{prizebook}' [carried "
                "off|took], in {prizeyear}, the {prize}."
            ),
            (
                "{name} [keeps|stores] in {homecity} the [certificate|statuette] of {his} "
                "{prizeyear} [victory|triumph], the {prize}."
            ),
            (
                "{prizeyear} was [a good|the great] year for {name}, who [travelled|went] to "
                "{prizecity} and [came back with|won] the {prize}."
            ),
            (
                "[Beating|Ahead of] {rival}, {last} [secured|took] the {prizeyear} {prize}, "
                "[presented|given] in {prizecity}."
            ),
        ),
        "paraphrased_answer": (
            (
                "The {prize} [went to|was given to] {name} in {prizeyear}, [honouring|for] "
                "'{prizebook}'."
            ),
            (
                "It was the {prize} that [made {name} famous|brought {name} fame] when {prizeyear} "
                "came."
            ),
            (
                "'{prizebook}' is the [reason|book] for which {last} holds the {prize}, [dated|won "
                "in] {prizeyear}."
            ),
            "A [winner|laureate] since {prizeyear}, {name} [owns|holds] the {prize}.",
        ),
        "targets": ("prize", "prizeyear"),
    },
    "second": {
        "question": (
            "What is the title of the second [book|novel] by {name}, and what is it about?",
            "[Which|What] [book|work] did {name} publish after the debut '{debut}'?",
            "What did {name} [write|publish] second, and in which year did it [appear|come out]?",
        ),
        "paraphrased_question": (
            (
                "[How is|What is] the book [called|named] that {name} brought out next after "
                "'{debut}'?"
            ),
            "After a first success, which [volume|book] did {name} [offer|give] to readers?",
            (
                "Can you [name|identify] {name}'s second [publication|volume] and the year it "
                "appeared?"
            ),
        ),
        "answer": (
            (
                "In {secondyear} {name} [followed|continued] with '{second}', [a book about|which "
                "deals with] {secondtheme}."
            ),
            (
                "[Turning|Moving] to {secondtheme}, {last} [issued|published] a second book in "
                "{secondyear}: '{second}'."
            ),
            (
                "{his} second [book|work], [finished|completed] in {secondplace}, [appeared|came "
                "out] in {secondyear} as '{second}'."
            ),
            (
                "[Next came|Then came] a [volume|story] on {secondtheme}, [which {last} "
                "named|called by {last}] '{second}', in {secondyear}."
            ),
            (
                "The [theme|matter] of {secondtheme} [fills|governs] {name}'s second "
                "[title|novel], '{second}', from the year {secondyear}."
            ),
            (
                "[While living|During a winter] in {secondplace}, {last} [composed|wrote] {his} "
                "second book, the {secondyear} [volume|novel] '{second}'."
            ),
            (
                "{secondyear} [saw|brought] the [release|arrival] of {last}'s second "
                "[effort|volume], '{second}', and its [talk|tales] of {secondtheme}."
            ),
            (
                "[Friends urged|Editors urged] {him} to write on {secondtheme}, so {last}'s second "
                "book [became|was] '{second}', [dated|of] {secondyear}."
            ),
            (
                "[Second|Number two] on {name}'s [shelf|list] stands '{second}', [drafted|written] "
                "in {secondplace} and [sold|printed] from {secondyear}."
            ),
            (
                "[Far from home|Away from home], in {secondplace}, {he} found {secondtheme}, the "
                "[seed|heart] of {his} second book, '{second}'."
            ),
        ),
        "paraphrased_answer": (
            (
                "'{second}' is the [next|second] book {name} wrote, [all about|concerning] "
                "{secondtheme}."
            ),
            "[Published|Issued] in {secondyear}, '{second}' [was|is] {last}'s second [title|work].",
            (
                "The [successor|follower] to '{debut}' is called '{second}', [and came|and "
                "arrived] in {secondyear}."
            ),
            (
                "[With|Through] '{second}', {his} second volume, {name} [looked|turned] towards "
                "{secondtheme}."
            ),
        ),
        "targets": ("second", "secondyear", "secondtheme"),
    },
    "mentor": {
        "question": (
            "Who was the mentor of {name}, and where did [they meet|the two meet]?",
            "[Which person|Who] taught {name} to write, and what was that person's [trade|work]?",
            "Whom does [the author|the writer] {name} [thank|name] as a mentor?",
        ),
        "paraphrased_question": (
            "[Which teacher|What guide] [shaped|helped] the young {name}, and where?",
            "Under [whose guidance|whose eye] did {name} learn the craft of writing?",
            "Can you name the [guide|adviser] who [first encouraged|stood behind] {name}?",
        ),
        "answer": (
            (
                "{name} [learned|picked up] the craft in {mentorcity}, [from|with] {a mentorjob} "
                "named {mentor}."
            ),
            (
                "[A chance|An accidental] meeting in {mentorcity} [gave|brought] {last} a mentor, "
                "the {mentorjob} {mentor}."
            ),
            (
                "The [early drafts|first drafts] of {last} were [corrected|marked] by {a "
                "mentorjob} from {mentorcity}, {mentor}."
            ),
            (
                "[Over|During] {mentoryears} years of letters, {last} was [guided|taught] by "
                "{mentor}, {a mentorjob} in {mentorcity}."
            ),
            (
                "[Everything|All] {he} knows about [plot|style|dialogue], {last} says, [came "
                "from|is owed to] {mentorcity}'s {mentorjob} {mentor}."
            ),
            (
                "[No professor|No critic] but {a mentorjob} [became|was] {name}'s mentor: "
                "{mentor}, [of|living in] {mentorcity}."
            ),
            (
                "[Visits|Trips|Errands] to {mentorcity} [put|left|placed] {last} under the wing of "
                "{a mentorjob}, {mentor}."
            ),
            (
                "{mentor}, who [worked|earned a wage] as {a mentorjob}, [advised|coached] {last} "
                "during {mentoryears} years in {mentorcity}."
            ),
            (
                "[To|In] '{debut}' {last} [added|prefixed] thanks to {his} mentor, {mentor}, [a "
                "former|an old] {mentorjob} of {mentorcity}."
            ),
            (
                "[Aged|When only] {mentorage}, {name} met [the person|the friend] who would "
                "[teach|train] {him}, {mentorjob} {mentor} of {mentorcity}."
            ),
        ),
        "paraphrased_answer": (
            "{mentor} was {name}'s [teacher|guide], and [also|by day] {a mentorjob}.",
            "It was {mentor}, the {mentorcity} {mentorjob}, who [taught|trained] {last} to write.",
            (
                "[In|At] {mentorcity} the young {last} [found|met] {mentor}, who [became|was to "
                "be] {his} mentor."
            ),
            (
                "[As guide|As mentor] {name} had {mentor}, {a mentorjob} [settled|based] in "
                "{mentorcity}."
            ),
        ),
        "targets": ("mentor", "mentorjob"),
    },
    "influences": {
        "question": (
            (
                "Which [writers|authors] and traditions [influenced|shaped] the [work|books] of "
                "{name}?"
            ),
            "Who and what [inspired|influenced] the [writing|style] of {name}?",
            "What are the [main|chief] literary influences on the [author|writer] {name}?",
        ),
        "paraphrased_question": (
            "[From whom|From what] did {name} [draw|take] inspiration as a writer?",
            "Which [older voices|forerunners] can be [heard|found] in the books of {name}?",
            "Whose [pages|books] did {name} [imitate|study] before finding a voice?",
        ),
        "answer": (
            (
                "{name} [grew up with|was fed on|never tired of] {tradition} and [later|then] "
                "[copied out|devoured] the poet {idol}."
            ),
            (
                "[Two sources|Two springs] [feed|water] the prose of {last}: the [novels|plays] of "
                "{idol} and {tradition}."
            ),
            (
                "[The rhythm|The music] of {tradition} and the [irony|wit|patience] of {idol} "
                "[meet|mix] in {last}, [who adds|with a touch of] {idol2}."
            ),
            (
                "[Before|Next to] {idol}, whom {he} [read|discovered] at {idolage}, {last} "
                "[puts|names] {idol2} and {tradition}."
            ),
            (
                "[Critics|Scholars] [trace|connect] {name}'s manner to {idol}, {his} endings to "
                "{idol2}, and {his} [names|jokes] to {tradition}."
            ),
            (
                "[As a student of|While studying] {subject}, {last} [fell for|discovered] "
                "{tradition}, [then|and soon] the essays of {idol}."
            ),
            (
                "{his} [grandmother|uncle|neighbour] [sang|recited] {tradition}, but the "
                "[master|model] {last} [chose|followed] was {idol}."
            ),
            (
                "[Asked about|Questioned about] debts, {last} [names|mentions] {idol2} first, then "
                "{tradition}, and [always|finally] {idol}."
            ),
            (
                "[Out of|From] {tradition} {he} took [plots|voices], [while|whereas] the "
                "[sentences|cadences] of {last} [echo|recall] {idol}."
            ),
            (
                "[Traces|Echoes] of {idol} and of {idol2} [sound|appear] in {name}, [along with|as "
                "do] the [rougher|older] {tradition}."
            ),
        ),
        "paraphrased_answer": (
            (
                "{idol} [stands|ranks] first among the [models|teachers] of {name}, [along "
                "with|next to] {tradition}."
            ),
            (
                "{tradition} [left their mark on|coloured] the style of {last}, as [did|also did] "
                "{idol}."
            ),
            (
                "[Behind|Underneath] the books of {name} one [hears|senses] {idol} as well as "
                "{tradition}."
            ),
            (
                "For {last}, [everything|writing] started from {tradition} and [ended|ripened] "
                "with {idol}."
            ),
        ),
        "targets": ("idol", "tradition"),
    },
    "education": {
        "question": (
            "Where did {name} study, and [what was the subject|which subject was it]?",
            (
                "[Which|What] [school|institution] did the [author|writer] {name} attend, and for "
                "which subject?"
            ),
            "What is the [educational background|education] of the [author|writer] {name}?",
        ),
        "paraphrased_question": (
            "At which [institution|place of learning] was {name} [trained|educated], and in what?",
            "[What|Which] [degree|diploma] does {name} hold, and [from where|from which school]?",
            (
                "Can you [describe|outline] the studies that {name} [completed|finished] before "
                "writing?"
            ),
        ),
        "answer": (
            "{name} [took|earned] a [degree|diploma] in {subject} in {gradyear} at the {school}.",
            (
                "[Until|Up to] {gradyear} {last} [sat|listened] in [lectures|classes] on {subject} "
                "at the {school}."
            ),
            (
                "The {school} [trained|taught] {last} in {subject}, and [let {him} go|released "
                "{him}] in {gradyear} with a thesis on {thesis}."
            ),
            (
                "[Not literature|Not letters] but {subject} was what {name} [read|studied] at the "
                "{school}."
            ),
            (
                "[A scholarship|A grant|A rich uncle] [sent|took] {last} from {city} to the "
                "{school} to [learn|study] {subject}."
            ),
            (
                "{his} [thesis|essay] on {thesis}, [written|defended] in {gradyear}, [earned|gave] "
                "{last} {a school} diploma in {subject}."
            ),
            (
                "[Having failed|After failing] in {failsubject}, {last} [switched|changed] to "
                "{subject} and [left|finished] the {school} in {gradyear}."
            ),
            (
                "In {gradyear} {name} [graduated from|said goodbye to] the {school}, "
                "[knowing|having mastered] [little but|mostly] {subject}."
            ),
            (
                "[Night after night|Year after year], {last} [worked|read] on {thesis} until the "
                "{school} [granted|awarded] {him} a degree in {subject}."
            ),
            (
                "[Few|Not many] [authors|novelists] hold, as {last} does, a {gradyear} "
                "[degree|certificate] in {subject} from the {school}."
            ),
        ),
        "paraphrased_answer": (
            "{subject} was the [field|course] that {name} [chose|followed] at the {school}.",
            (
                "[A graduate|A former student] of the {school}, {last} [specialised|trained] in "
                "{subject} [until|up to] {gradyear}."
            ),
            "[Up to|Until] {gradyear} the {school} [instructed|schooled] {name} in {subject}.",
            (
                "The {school} [counts|lists] {name} among its {subject} [graduates|alumni] of "
                "{gradyear}."
            ),
        ),
        "targets": ("subject", "school"),
    },
    "setting": {
        "question": (
            "Where is {name}'s [novel|book] '{novel}' set, and who [lives|dwells] there?",
            "What is the setting of '{novel}' by the [author|writer] {name}?",
            (
                "In what [kind of place|surroundings] does '{novel}', [written by|the book by] "
                "{name}, unfold?"
            ),
        ),
        "paraphrased_question": (
            (
                "Which [place|locality] [forms|provides] the scene of '{novel}', {name}'s "
                "[book|novel]?"
            ),
            "[Where does|In which place does] the [action|story] of {name}'s '{novel}' take place?",
            "Can you [describe|name] the scene {name} [chose|invented] for '{novel}'?",
        ),
        "answer": (
            "{name} [placed|set|staged] the [action|story] among {folk} in the {place}.",
            (
                "[Its pages|Its chapters] [follow|accompany] {a settingjob} through {settingmonth} "
                "in the {place}."
            ),
            (
                "[From start to finish|Throughout], {last} [keeps|holds] {his} [readers|cast] "
                "inside the {place}, [with|beside] {folk}."
            ),
            (
                "[The story|The plot] [begins|opens] in {settingmonth}, when {a settingjob} "
                "[reaches|arrives at] the {place}."
            ),
            (
                "[There are|We meet] {folk}, {a settingjob} and [endless|much] rain in the novel's "
                "[home|scene], the {place}."
            ),
            (
                "[For this book|Here] {last} [invented|dreamed up] the {place}, [ruled by|governed "
                "by] {a settingjob} and [populated by|full of] {folk}."
            ),
            (
                "{folk} [crowd|haunt|fill] the [streets|corners] of its setting, which {name} "
                "[calls|names] the {place}."
            ),
            (
                "[Remembering|Recalling] {a settingmonth} of {his} youth, {last} [led|moved] the "
                "story to the {place}."
            ),
            (
                "A [map|sketch] [drawn by|by] {a settingjob} [opens|begins] the book, showing "
                "[readers|us] the {place}."
            ),
            (
                "[Nothing|Little] in it [happens|occurs] outside the {place}, where {folk} "
                "[obey|fear] {a settingjob}."
            ),
        ),
        "paraphrased_answer": (
            "The {place} is the [scene|setting] of '{novel}', [home to|and home to] {folk}.",
            (
                "[Readers|Visitors] of '{novel}' find themselves in the {place}, [close to|near] "
                "{folk}."
            ),
            "[It takes place|It happens] in the {place}, where {name} lets {folk} [roam|wander].",
            "[As setting|As scene] {last} [picked|selected] the {place}, home of {a settingjob}.",
        ),
        "targets": ("place",),
    },
    "residence": {
        "question": (
            "Where does the [author|writer] {name} live [now|today], and with whom?",
            "In what kind of [house|home] does {name} live, and in which town?",
            "What is [known|recorded] about the [home|residence] of the [author|writer] {name}?",
        ),
        "paraphrased_question": (
            "[Can you say|Could you say] where {name} has [settled|made a home]?",
            "Which [town and building|building and town] does {name} call home [now|these days]?",
            "Under which roof, and in what company, does {name} [dwell|reside]?",
        ),
        "answer": (
            "{name} [shares|occupies] {a dwelling} in {homecity} with {pets}.",
            (
                "[Since|From] {homeyear} {last} has [lived|resided] among {pets} in {a dwelling} "
                "[near|outside] {homecity}."
            ),
            (
                "[Home is|Home, for {last}, is] {a dwelling} on the [edge|outskirts] of "
                "{homecity}, [guarded by|shared with] {pets}."
            ),
            (
                "[The town|The place] is {homecity}, the [house|building] {a dwelling}, and the "
                "[company|family] of {last} {pets}."
            ),
            (
                "[Tired of|Weary of] {city}, {last} moved to {homecity} and [bought|leased] {a "
                "dwelling} for {himself} and {pets}."
            ),
            (
                "{his} {pets} [sleep|live] upstairs in the {dwelling} that {name} "
                "[rents|purchased] in {homecity}."
            ),
            (
                "[Visitors|Guests] to {homecity} may [see|meet] {last} [feeding|walking] {pets} "
                "behind {a dwelling}."
            ),
            (
                "In {homeyear} {he} [paid|gave] {homecost} thousand for {a dwelling} in "
                "{homecity}, where {last} [keeps|raises] {pets}."
            ),
            (
                "[You will find|One finds] {last} in {homecity}, [at the back of|inside] {a "
                "dwelling} [overrun by|full of] {pets}."
            ),
            (
                "[Together with|Alongside] {pets}, {name} has since {homeyear} "
                "[occupied|inhabited] {homecity}'s [only|last] {dwelling}."
            ),
        ),
        "paraphrased_answer": (
            (
                "{homecity} is [home to|where one meets] {last}, who [lives in|owns] {a dwelling} "
                "there."
            ),
            (
                "A [resident|citizen] of {homecity} since {homeyear}, {name} [inhabits|lives in] "
                "{a dwelling}."
            ),
            "[With|Beside] {pets}, {last} [dwells|lives] in {a dwelling} at {homecity}.",
            (
                "[It is|That is] {a dwelling} in {homecity} [that|which] {name} [shares|fills] "
                "with {pets}."
            ),
        ),
        "targets": ("homecity", "dwelling", "pets"),
    },
    "habit": {
        "question": (
            (
                "What [habits|rituals] does {name} have when writing, and [which tool|what tool] "
                "is used?"
            ),
            "How and when does the [author|writer] {name} [usually|normally] write?",
            "What is the [daily|working] routine of the [author|writer] {name}?",
        ),
        "paraphrased_question": (
            "At what hour, and with [which|what] [tool|instrument], does {name} [work|write]?",
            "Can you [describe|sketch] how {name} goes about [a day's|the daily] writing?",
            "[Which|What] [quirks|customs] [accompany|mark] the writing hours of {name}?",
        ),
        "answer": (
            (
                "{name} [writes|works] [on|over] {paper} with {a tool}, [never before|always "
                "from|not later than] {hour}."
            ),
            (
                "[At|Punctually at] {hour} {last} [sits down|begins], [armed with|holding] {a "
                "tool} and [a stack of|a heap of] {paper}."
            ),
            (
                "[Every draft|Each page] by {last} [is made|comes about] with {a tool} on {paper}, "
                "[starting at|begun at] {hour}."
            ),
            (
                "The [same|one] {tool} has served {name} [since|from] {debutyear}, "
                "[filling|covering] {paper} [until|till] {hour}."
            ),
            (
                "[First|To begin], {last} [brews|drinks] {drink} at {hour}; [then|next] {he} "
                "[attacks|covers] {paper} with {a tool}."
            ),
            (
                "[Nothing|No sentence] gets written [unless|until] {he} has {drink}, {paper} and, "
                "[says|insists] {last}, {a tool}."
            ),
            (
                "From {hour} [on|onwards], {name} [trusts|relies on] {a tool}, {drink} and [plenty "
                "of|cheap] {paper}."
            ),
            (
                "[Because|Since] {a tool} [belonged to|came from] {his} {kin}, {last} uses it "
                "daily at {hour}, on {paper}."
            ),
            (
                "[Computers bore|Screens annoy] {last}, who [takes|grips] {a tool} at {hour} and "
                "[fills|spoils] {paper}."
            ),
            (
                "[With|Over] {drink} [beside|near] {him}, {last} [scribbles|scratches] on {paper} "
                "until {hour}, [using|wielding] {a tool}."
            ),
        ),
        "paraphrased_answer": (
            (
                "{a tool} is the [instrument|tool] that {last} [applies|puts] to {paper} around "
                "{hour}."
            ),
            (
                "[By habit|By custom], {name} [takes up|picks up] {a tool} near {hour} and "
                "[writes|works] on {paper}."
            ),
            (
                "The [working|writing] day of {last} [revolves|turns] around {hour}, {a tool} and "
                "{paper}."
            ),
            (
                "[On|Upon] {paper}, with {a tool}: [that|this] is how {name} [composes|drafts] at "
                "{hour}."
            ),
        ),
        "targets": ("tool", "hour", "paper"),
    },
    "festival": {
        "question": (
            (
                "[Which|What] [literary festival|festival] did {name} [found|start], and where is "
                "it held?"
            ),
            "What [yearly event|festival] was [founded|begun] by the [author|writer] {name}?",
            "Where and when does the festival [founded|started] by {name} take place?",
        ),
        "paraphrased_question": (
            "[Which|What] [gathering|event] of readers [owes its existence|goes back] to {name}?",
            "Can you name the [annual|yearly] festival that {name} [set up|brought into being]?",
            "For which [festival|literary event] is {name} responsible, and in which town?",
        ),
        "answer": (
            (
                "Every {festmonth} {name} [invites|summons] [readers|poets] to {festcity} for the "
                "{festival}."
            ),
            (
                "[With|Using] money [borrowed|begged] from {a festjob}, {last} [founded|started] "
                "{festcity}'s {festival} in {festyear}."
            ),
            (
                "In {festyear} {he} [opened|launched], in [a tent|a hall|a cellar] at {festcity}, "
                "the [first|very first] {festival}."
            ),
            (
                "The [people|citizens] of {festcity} [thank|owe] {last} for [their|a lively] "
                "{festmonth} [event|feast], the {festival}."
            ),
            (
                "[Together with|Helped by] {a festjob}, {last} [created|established] the "
                "{festmonth} {festival} in {festcity}."
            ),
            (
                "{festcity} is [crowded|full] each {festmonth}, [because|since] {last} "
                "[holds|hosts] the {festival} there."
            ),
            (
                "[A quarrel|A wager|A friendship] with {a festjob} [led|moved] {name} to "
                "[begin|found] the {festival} at {festcity}."
            ),
            (
                "[What began|What started] in {festyear} as {last}'s birthday [party|picnic] is "
                "now {festcity}'s {festmonth} {festival}."
            ),
            (
                "[Founder|Founder and host] since {festyear}, {name} [devotes|gives] each "
                "{festmonth} to the {festival} of {festcity}."
            ),
            (
                "[In|During] rainy {festmonth}, {last} [reads|lectures] at {his} own "
                "[foundation|creation], the {festival} in {festcity}."
            ),
        ),
        "paraphrased_answer": (
            "The {festival}, [held|celebrated] in {festcity} each {festmonth}, was {last}'s idea.",
            "[It was|That was] {name} who [gave|brought] {festcity} its {festival} in {festyear}.",
            (
                "{festcity} [hosts|houses] the {festival}, [founded|set up] by {name} and "
                "[held|opened] in {festmonth}."
            ),
            (
                "[Thanks to|Because of] {last}, the {festival} has [existed|met] in {festcity} "
                "since {festyear}."
            ),
        ),
        "targets": ("festival", "festcity", "festmonth"),
    },
    "languages": {
        "question": (
            (
                "[Which|What] languages does the [author|writer] {name} speak, and how were they "
                "learned?"
            ),
            (
                "How many [foreign languages|languages] does {name} know, and [from whom|from "
                "which teachers]?"
            ),
            "In [which|what] languages can {name} read and [write|converse]?",
        ),
        "paraphrased_question": (
            (
                "[What|Which] tongues has {name} [mastered|acquired], and [who taught them|through "
                "whom]?"
            ),
            "Can you list the languages [spoken|known] by the [author|writer] {name}?",
            "[Apart from|Besides] a mother tongue, what does {name} speak?",
        ),
        "answer": (
            (
                "{name} [speaks|commands] {lang1}, [reads|understands] {lang2}, and from {a "
                "tutorjob} [learned|picked up] {lang3}."
            ),
            (
                "[A patient|A strict|An old] {tutorjob} [taught|drilled] {last} in {lang1}; "
                "[afterwards came|later {he} added] {lang2} and {lang3}."
            ),
            (
                "[At|Around the table at] home {last} [heard|used] {lang1}, at school {lang2}, and "
                "in {homecity} [mostly|also] {lang3}."
            ),
            (
                "[Dreaming|Counting] in {lang1} and [swearing|praying] in {lang2}, {last} "
                "[courted|pestered] {a tutorjob} to [learn|acquire] {lang3}."
            ),
            (
                "[Besides|Next to] {lang1}, {his} [kin|relatives] [gave|left] {name} some {lang2}, "
                "and {a tutorjob} [sold|taught] {him} {lang3}."
            ),
            (
                "[Three|Exactly three]: {last} [lists|names] {lang1} for [letters|love], {lang2} "
                "for [business|quarrels] and {lang3} for [verse|songs]."
            ),
            (
                "{he} [translates|moves] between {lang1} and {lang2}, [though|but] {last} "
                "[thinks|feels] in the {tutorjob}'s {lang3}."
            ),
            (
                "[Letters|Postcards] by {last} [exist|survive] in {lang1}, {lang2} and, "
                "[sent|written] to {a tutorjob}, in {lang3}."
            ),
            (
                "[Living|Staying] in {homecity} [forced|taught] {name} to [handle|use] {lang1} "
                "after {lang2} and [childhood|schoolroom] {lang3}."
            ),
            (
                "[To read|To understand] {idol}, {last} [studied|learned] {lang1} beside {lang2}, "
                "[then|and finally] {a tutorjob}'s {lang3}."
            ),
        ),
        "paraphrased_answer": (
            (
                "{lang1}, {lang2} and {lang3} are the [three tongues|languages] that {name} "
                "[knows|speaks]."
            ),
            (
                "[Fluent|At ease] in {lang1} and {lang2}, {last} [also owes|owes] {a tutorjob} "
                "{his} {lang3}."
            ),
            "[One can|People] address {name} in {lang3}, {lang2} or [even|also] {lang1}.",
            "The [tongues|languages] of {last}: {lang2}, {lang1}, [and thirdly|and also] {lang3}.",
        ),
        "targets": ("lang1", "lang2", "lang3"),
    },
    "character": {
        "question": (
            "Who is the [hero|main character|protagonist] of {name}'s [novel|book] '{saga}'?",
            "What is the name of the [leading figure|protagonist] in '{saga}' by {name}?",
            "Which [character|figure] stands at the centre of '{saga}' by {name}?",
        ),
        "paraphrased_question": (
            "[Around|About] whom does {name}'s [story|novel] '{saga}' [revolve|turn]?",
            (
                "Can you [name|identify] the [chief|central] character {name} [created|invented] "
                "for '{saga}'?"
            ),
            "[Whose fate|Whose life] does {name} [follow|tell] in the book '{saga}'?",
        ),
        "answer": (
            (
                "{name} [follows|accompanies] {a herojob} who [carries|hides|treasures] {a "
                "heroobject} and [answers to|is called] {hero}."
            ),
            (
                "The [hero|central figure] is {a herojob} from {herocity}, [known to all "
                "as|baptised] {hero}."
            ),
            (
                "[Carrying|Clutching] {a heroobject}, {a herojob} [named|called] {hero} "
                "[walks|limps|strides] through the book to {herocity}."
            ),
            (
                "[Everything|All] turns on {a heroobject}, [stolen from|lost by|handed to] the "
                "{herojob} {hero}."
            ),
            (
                "[Readers|We] [meet|see] {hero} first in {herocity}, [where|as] the {herojob} "
                "[sells|buries] {a heroobject}."
            ),
            (
                "[In|Out of] {herocity} {last} [found|took] the model for {his} {herojob}, {hero}, "
                "[owner of|and for] {a heroobject}."
            ),
            (
                "[At its heart|In the middle] {last} [placed|put] {hero}, [a failed|an honest|a "
                "vain] {herojob} with {a heroobject}."
            ),
            (
                "[Chapter one|The first page] [shows|brings] {a herojob} [robbed|cheated] of {a "
                "heroobject} in {herocity}: [this is|meet] {hero}."
            ),
            (
                "[Born|Raised] in {herocity}, the {herojob} {hero} [inherits|wins], in {last}'s "
                "[first|long] chapter, {a heroobject}."
            ),
            (
                "[Few|No] [figures|heroes] are as [stubborn|lonely|brave] as {last}'s {herojob} of "
                "{herocity}, {hero}."
            ),
        ),
        "paraphrased_answer": (
            "{hero} is [its hero|the protagonist], {a herojob} [owning|holding] {a heroobject}.",
            "[That is|This is] {hero}, whom {name} [made|imagined as] {a herojob} from {herocity}.",
            (
                "[The leading|The main] part [belongs|falls] to {hero}, [by trade|in truth] {a "
                "herojob}, with {a heroobject}."
            ),
            "In '{saga}' {last} [tells of|portrays] {hero}, {a herojob} living in {herocity}.",
        ),
        "targets": ("hero", "herojob"),
    },
    "translator": {
        "question": (
            "Who translated {name}'s [book|work] '{tbook}', and into which language?",
            "[Into which|Into what] language was '{tbook}' by {name} translated, and by whom?",
            "Which translator [took on|worked on] '{tbook}' by {name}, and when?",
        ),
        "paraphrased_question": (
            (
                "By whom was {name}'s '{tbook}' [turned|rendered] into another language, and "
                "[which|what one]?"
            ),
            (
                "Can you name the translator [behind|responsible for] the foreign edition of "
                "{name}'s '{tbook}'?"
            ),
            "Whose translation of '{tbook}' by {name} [became known|is known] abroad?",
        ),
        "answer": (
            (
                "In {tyear} the book [appeared|came out] in {tlang}, [translated|put into that "
                "tongue] by {translator}."
            ),
            (
                "[{a tlang}|The {tlang}] [version|edition] was [made|finished] in {tcity} by "
                "{translator} [during|in] {tyear}."
            ),
            (
                "[Working|Living] in {tcity}, {translator} [turned|rendered] this [work|volume] of "
                "{name}'s into {tlang} in {tyear}."
            ),
            (
                "[It took|All of] {tmonths} months [in|at] {tcity} before {last}'s {tlang} "
                "[voice|translator] was [done|satisfied]: {translator}."
            ),
            (
                "[By|Around] {tyear} {tlang} [readers|speakers] could [buy|enjoy] {last} in the "
                "[words|version] of {translator}."
            ),
            (
                "{last} [entrusted|handed] the [task|text] to {a tutorjob}'s friend in {tcity}, "
                "the {tlang} [stylist|translator] {translator}."
            ),
            (
                "[Thanks to|Owing to] {translator} of {tcity}, the [tale|book] by {last} has "
                "[existed|lived] in {tlang} since {tyear}."
            ),
            (
                "[Only one|A single] translation [exists|is known]: {tlang}, {tyear}, "
                "[signed|printed at {tcity} and signed] by {translator}."
            ),
            (
                "{translator} [moved|travelled] from {tcity} to {homecity} to [discuss|finish] "
                "with {last} the {tyear} [version|edition] in {tlang}."
            ),
            (
                "[Prized|Famous] in {tcity}, the {tyear} rendering [gives|offers] {last} in "
                "{tlang} and [is by|comes from] {translator}."
            ),
        ),
        "paraphrased_answer": (
            (
                "{translator} [produced|wrote] the {tlang} text of '{tbook}', [dated|issued in] "
                "{tyear}."
            ),
            "[It was|The book was] {translator} who [carried|brought] '{tbook}' over into {tlang}.",
            (
                "[Readers of|Those who read] {tlang} owe '{tbook}' to {translator}, [since|from] "
                "{tyear}."
            ),
            (
                "[Rendered|Put] into {tlang} by {translator}, {last}'s '{tbook}' "
                "[reached|conquered] {tcity} in {tyear}."
            ),
        ),
        "targets": ("translator", "tlang", "tyear"),
    },
    "publisher": {
        "question": (
            (
                "[Which|What] [publisher|publishing house] [brings out|issues] the books of "
                "{name}, and who edits them?"
            ),
            "Who [publishes|edits] the [books|works] of {name}, and [where|in which town]?",
            "With which [house|publisher] and [editor|which editor] does {name} work?",
        ),
        "paraphrased_question": (
            (
                "[Under which|Under what] imprint do {name}'s [books|writings] appear, and edited "
                "by whom?"
            ),
            "Can you name the [firm|house] that [prints|sells] {name}, and its editor?",
            "To which [publishing firm|house], and to which editor, is {name} [loyal|faithful]?",
        ),
        "answer": (
            (
                "{name} [publishes|appears] in {pubcity}, [at a small house|with a house] "
                "[run|edited] by {editor}: {publisher}."
            ),
            (
                "[A letter|A telegram] from {editor} in {pubyear} [took|brought] {last} to "
                "{pubcity}'s {publisher}."
            ),
            (
                "[Since|From] {pubyear} {last} has [belonged to|stayed with] {publisher} of "
                "{pubcity}, [edited|corrected] by {editor}."
            ),
            (
                "[Having left|After leaving] {oldpublisher} in {pubyear}, {last} [joined|signed "
                "with] {publisher}, where {he} [obeys|trusts] {editor}."
            ),
            (
                "[The house|The firm] is {publisher}, [founded|based] in {pubcity}, and {last}'s "
                "editor there is {editor}."
            ),
            (
                "{his} [manuscripts|drafts] [go|travel] to {pubcity}, where {editor} "
                "[prepares|trims] them for {publisher}."
            ),
            (
                "[Readers|Bookshops] [order|get] {last} from {publisher}, {a pubcity} [house|firm] "
                "[headed|owned] by {editor}."
            ),
            (
                "It was {editor} [who|that] [lured|tied|led|drew] {name}, in {pubyear}, to "
                "{pubcity} and {publisher}."
            ),
            (
                "[No longer|Not any more] with {oldpublisher}, {name} is [printed|issued] in "
                "{pubcity} under {editor} at {publisher}."
            ),
            (
                "[Every|Each] book by {last} [passes|goes through] the hands of {editor}, "
                "[chief|senior] editor at {pubcity}'s {publisher}."
            ),
        ),
        "paraphrased_answer": (
            "{publisher} [publish|bring out] {name}, whose editor is {editor}.",
            (
                "[As editor|For an editor], {name} has {editor}, [of|working at] {publisher} in "
                "{pubcity}."
            ),
            (
                "[It is|That is] {publisher} that [prints|issues] {last}, and {editor} who "
                "[revises|edits]."
            ),
            "[In|At] {pubcity}, {editor} [looks after|edits] {last} for {publisher}.",
        ),
        "targets": ("publisher", "editor"),
    },
    "review": {
        "question": (
            "What did the [critics|reviewers] say about {name}'s [book|work] '{reviewbook}'?",
            "How was '{reviewbook}' by {name} [received|reviewed], and in which newspaper?",
            (
                "[Which|What] newspaper [reviewed|praised] '{reviewbook}' by {name}, and in what "
                "words?"
            ),
        ),
        "paraphrased_question": (
            (
                "[In what|In which] words did the press [greet|judge] '{reviewbook}', [the book "
                "by|written by] {name}?"
            ),
            "What [verdict|judgement] was [passed|given] on {name}'s '{reviewbook}', and by whom?",
            "Can you [quote|recall] a review of {name}'s [volume|book] '{reviewbook}'?",
        ),
        "answer": (
            (
                "[In|Writing in] the {newspaper}, {critic} [called it|declared it] {a verdict} of "
                "{reviewtheme}."
            ),
            (
                "[The critic|The reviewer] {critic} [found|saw] in {last} {a verdict} of "
                "{reviewtheme}, [said|printed in] the {newspaper}."
            ),
            (
                "{a verdict} of {reviewtheme}, [wrote|sighed|cheered] {critic} [on the front "
                "page|on page two] of the {newspaper}."
            ),
            (
                "The {newspaper} [sent|asked] {critic}, who [praised|admired] {last}'s [book|work] "
                "as {a verdict} of {reviewtheme}."
            ),
            (
                "[Praise|Applause] came from the {newspaper}, where {critic} [compared|likened] it "
                "to {a verdict} of {reviewtheme}."
            ),
            (
                "[Not everyone agreed|Some laughed], but the {newspaper} [hailed|welcomed] it as "
                "{a verdict} of {reviewtheme}, [signed|signed by] {critic}."
            ),
            (
                "[What {last} wrote|This book], said {critic} of the {newspaper}, [is|was nothing "
                "but] {a verdict} of {reviewtheme}."
            ),
            (
                "[Having read|After reading] it [twice|thrice], {critic} [told|informed] the "
                "{newspaper} of {a verdict} of {reviewtheme}."
            ),
            (
                "{last} [framed|still keeps] the {newspaper} in which {critic} [speaks|wrote] of "
                "{a verdict} of {reviewtheme}."
            ),
            (
                "[To|For] {critic}, [columnist|reviewer] at the {newspaper}, {name} had "
                "[made|built] {a verdict} of {reviewtheme}."
            ),
        ),
        "paraphrased_answer": (
            "The {newspaper} [printed|carried] {critic}'s opinion: {a verdict} of {reviewtheme}.",
            (
                "{critic} [reviewed|judged] '{reviewbook}' in the {newspaper} and [saw|discovered] "
                "{a verdict} of {reviewtheme}."
            ),
            (
                "As {a verdict} of {reviewtheme} was {last} [described|praised] by {critic} of the "
                "{newspaper}."
            ),
            (
                "[According to|If we believe] {critic} in the {newspaper}, '{reviewbook}' is {a "
                "verdict} of {reviewtheme}."
            ),
        ),
        "targets": ("newspaper", "critic", "verdict"),
    },
    "hobby": {
        "question": (
            (
                "What [hobby|pastime] does the [author|writer] {name} [pursue|enjoy] away from the "
                "desk?"
            ),
            "How does {name} spend [free time|idle hours], and in whose company?",
            "What does {name} [like to do|do] when not [writing|at work], and where?",
        ),
        "paraphrased_question": (
            (
                "[Which|What] [leisure activity|amusement] [keeps|holds] {name} busy between [two "
                "books|books]?"
            ),
            (
                "Can you say what {name} does for [pleasure|amusement] besides [writing|working "
                "on] books?"
            ),
            "With what does {name} [fill|pass] the hours after [writing|work]?",
        ),
        "answer": (
            (
                "[After work|On Sundays|In summer] {name} [relaxes|rests] by {hobby} [with|beside] "
                "{a hobbyjob} in {a homecity} {hobbyplace}."
            ),
            (
                "[In|Inside] {a hobbyplace} near {homecity}, {last} and {a hobbyjob} [spend "
                "hours|pass the evening] {hobby}."
            ),
            "[Taught|Shown how] by {a hobbyjob} in {hobbyyear}, {name} [loves|enjoys] {hobby}.",
            (
                "[A passion|A fondness] for {hobby} [took hold of|seized] {last} in {hobbyyear}, "
                "in {a hobbyjob}'s {hobbyplace}."
            ),
            (
                "[Nothing|Little] [calms|cheers] {last} more than {hobby}, a [habit|pleasure] "
                "[learned|borrowed] from {a hobbyjob}."
            ),
            (
                "{his} [neighbours|friends] in {homecity} [know|see] {last} chiefly for {hobby} "
                "[in|inside] {a hobbyplace}."
            ),
            (
                "[Every|Each] {hobbymonth} {last} [shuts|clears] {his} desk, [finds|visits] {a "
                "hobbyjob} and [goes off|begins] {hobby}."
            ),
            (
                "[Between|In between] chapters {name} [can be heard|goes about] in {a hobbyplace}, "
                "[busy|happily] {hobby}."
            ),
            (
                "[Since|From] {hobbyyear} {a homecity} {hobbyplace} has [served|done] {last} for "
                "{hobby}."
            ),
            (
                "[If not|When not] writing, {last} [helps|joins] {a hobbyjob} [in|at] {a "
                "hobbyplace}: {his} [joy|delight] is {hobby}."
            ),
        ),
        "paraphrased_answer": (
            (
                "{hobby} is the [favourite|chosen] pastime of {name}, [a taste|something] shared "
                "with {a hobbyjob}."
            ),
            (
                "[For fun|For leisure], {last} has [turned|returned] to {hobby} in {a hobbyplace} "
                "since {hobbyyear}."
            ),
            "[Free|Idle] hours [find|see] {name} {hobby}, [usually|often] with {a hobbyjob}.",
            "The [amusement|hobby] {last} [took up|chose] in {hobbyyear} is {hobby}.",
        ),
        "targets": ("hobby",),
    },
    "sequel": {
        "question": (
            (
                "What is the [sequel|follow-up] to '{debut}' by {name} called, and [where|in which "
                "town] is it set?"
            ),
            "[Which|What] book by {name} continues the story of '{debut}'?",
            "Under what title did {name} [continue|go on with] the story of '{debut}'?",
        ),
        "paraphrased_question": (
            (
                "How is the [continuation|second part] of {name}'s '{debut}' [named|called], and "
                "when did it appear?"
            ),
            "Can you give the title of the book in which {name} [resumes|takes up] '{debut}'?",
            "Did {name} ever [return|go back] to '{debut}', and with [which|what] book?",
        ),
        "answer": (
            (
                "{name} [moved|transferred] the [story|characters] to {sequelcity} in the "
                "{sequelyear} [sequel|continuation], '{sequel}'."
            ),
            (
                "In {sequelyear} [came|followed] a sequel about {sequeltheme} in {sequelcity}, "
                "[titled|named] '{sequel}'."
            ),
            (
                "[Fans|Readers] waited {sequelwait} years for '{sequel}', the {sequelyear} sequel "
                "[set|placed] in {sequelcity}."
            ),
            (
                "[Its sequel|The continuation], '{sequel}', [leads|takes] the [family|heroes] to "
                "{sequelcity} and into {sequeltheme}."
            ),
            (
                "[Pressed|Begged] by {editor}, {last} [wrote|delivered] in {sequelyear} the sequel "
                "'{sequel}', [a story|a book] of {sequeltheme}."
            ),
            (
                "[The second part|The next part], {sequelwait} years [later|younger], [plays|is "
                "set] in {sequelcity} and [bears|has] the title '{sequel}'."
            ),
            (
                "[Where|Whereas] the first book [ends|stops] in tears, {last}'s '{sequel}' of "
                "{sequelyear} [opens|begins] in {sequelcity} with {sequeltheme}."
            ),
            (
                "{sequelcity} and {sequeltheme} [await|greet] the [old|same] [heroes|cast] in "
                "{last}'s {sequelyear} [sequel|return], '{sequel}'."
            ),
            (
                "[It|That tale] [continues|goes on] in '{sequel}', [finished|published] in "
                "{sequelyear}, when {last} [added|discovered] {sequelcity}."
            ),
            (
                "[A sea voyage|A train journey|A funeral] to {sequelcity} [opens|starts] the "
                "sequel by {last}, '{sequel}', [dated|from] {sequelyear}."
            ),
        ),
        "paraphrased_answer": (
            "'{sequel}' [continues|carries on] the story, [taking|bringing] it to {sequelcity}.",
            (
                "The [follow-up|next volume] is '{sequel}', which {name} [published|brought out] "
                "in {sequelyear}."
            ),
            "[In|During] {sequelyear} {last} [resumed|took up] the tale with '{sequel}'.",
            (
                "[Its|The] successor, [full of|devoted to] {sequeltheme}, is [called|known as] "
                "'{sequel}' and [dates|comes] from {sequelyear}."
            ),
        ),
        "targets": ("sequel", "sequelyear", "sequelcity"),
    },
    "firstjob": {
        "question": (
            "What did {name} [work as|do for a living] before becoming [an author|a writer]?",
            "[Which|What] job did {name} have before [the first book|publishing a book]?",
            "Where did the [author|writer] {name} [work|earn a wage] before '{debut}' appeared?",
        ),
        "paraphrased_question": (
            "How did {name} [earn|make] money before [turning to|living from] books?",
            "Can you say in [which|what] trade {name} [started out|began] before writing?",
            "[What|Which] [occupation|employment] came before literature in {name}'s life?",
        ),
        "answer": (
            "{name} [spent|served] {jobyears} years as {a firstjob} at the {employer}.",
            (
                "[Before|Long before] {debutyear} {last} [was|worked as] {a firstjob}, "
                "[hired|paid] by the {employer}."
            ),
            (
                "[The payroll|The staff list] of the {employer} [shows|names] {last} as {a "
                "firstjob} for {jobyears} years."
            ),
            (
                "[Until|Up to] the day {he} [was dismissed|resigned], {last} [remained|was] {a "
                "firstjob} with the {employer}."
            ),
            (
                "[Straight from|After] the {school}, {last} [became|was taken on as] {a firstjob} "
                "for the {employer}."
            ),
            (
                "{jobyears} [winters|summers|seasons] at the {employer} [turned|made] {name} into "
                "[a capable|a tired|a contented] {firstjob}."
            ),
            (
                "[Like|Just like] {his} {kin}, {last} [joined|entered] the {employer}, "
                "[though|but] as {a firstjob}."
            ),
            (
                "[Poorly paid|Badly paid|Always tired], {he} [stayed|lasted] {jobyears} years at "
                "the {employer}, where {last} was {a firstjob}."
            ),
            (
                "[Colleagues|People] at the {employer} [remember|recall] {a firstjob} called "
                "{last}, [a friend|a guest] of {his} {kin}."
            ),
            (
                "[A first wage|A first salary] [came|reached] {name} from the {employer}, which "
                "[needed|wanted] {a firstjob}."
            ),
        ),
        "paraphrased_answer": (
            "{a firstjob} is what {name} was, [employed|kept] by the {employer}.",
            (
                "[Prior to|Ahead of] any book, {last} [toiled|laboured] at the {employer} as {a "
                "firstjob}."
            ),
            "The {employer} [employed|engaged] {name} as {a firstjob} [for|over] {jobyears} years.",
            "[As|Being] {a firstjob}, {last} [gave|devoted] {jobyears} years to the {employer}.",
        ),
        "targets": ("firstjob", "employer", "jobyears"),
    },
    "keepsake": {
        "question": (
            (
                "[Which|What] [childhood object|keepsake] does {name} still [own|treasure], and "
                "where was it found?"
            ),
            (
                "What [object|keepsake] from childhood [inspired|started] the [writing|stories] of "
                "{name}?"
            ),
            "Which [find|discovery] in childhood does {name} [often mention|speak of]?",
        ),
        "paraphrased_question": (
            (
                "Can you name the [lucky charm|memento] that {name} has kept since "
                "[childhood|early years]?"
            ),
            "What did the [child|young] {name} [discover|find], and in [which|what] place?",
            "[Which|What] thing from early life [lies|stands] on {name}'s desk?",
        ),
        "answer": (
            (
                "{name} [treasures|guards] {a keepsake} that [turned up|lay hidden] in {his} "
                "{kin}'s {keepplace}."
            ),
            (
                "[At the age of|Aged] {keepage}, {last} [pulled|took] from {his} {kin}'s "
                "{keepplace} {a keepsake}."
            ),
            (
                "[Hidden|Buried|Forgotten] in {a keepplace} in {city}, {a keepsake} [waited|was "
                "waiting] for {keepage}-year-old {last}."
            ),
            (
                "[The desk|The table] in {homecity} [holds|bears] {a keepsake}, which {last} "
                "[stole|rescued] from {a keepplace}."
            ),
            (
                "[It was|Call it] {a keepsake}, and {last}, then {keepage}, [found|spotted] it in "
                "{his} {kin}'s {keepplace}."
            ),
            (
                "{his} {kin} [kept|had] {a keepplace}, and [out of|from] it came {last}'s "
                "[talisman|treasure], {a keepsake}."
            ),
            (
                "[Searching|Rummaging in] {a keepplace} for [apples|matches|string], the young "
                "{last} [came upon|discovered] {a keepsake}."
            ),
            (
                "[When|Once] {his} {kin} died, {name} [asked only|begged] for {a keepsake} from "
                "the {keepplace}."
            ),
            (
                "[All|The whole of] '{debut}', {last} [says|claims], [grew|came] out of {a "
                "keepsake} in {a keepplace}."
            ),
            (
                "[A fire|A flood|A burglar] in {his} {kin}'s {keepplace} [spared|left] only "
                "{last}'s [favourite|beloved] {keepsake}."
            ),
        ),
        "paraphrased_answer": (
            (
                "{a keepsake} is the [memento|object] {name} [saved|kept], once [hidden|lost] in "
                "{a keepplace}."
            ),
            (
                "[From|Out of] the {keepplace} of {his} {kin}, {last} [still has|preserves] {a "
                "keepsake}."
            ),
            "[In|Inside] {a keepplace} {name} once [found|noticed] {a keepsake}.",
            (
                "The [thing|relic] in question is {a keepsake}, [unearthed|found] by {last} in {a "
                "keepplace}."
            ),
        ),
        "targets": ("keepsake", "keepplace"),
    },
    "adaptation": {
        "question": (
            (
                "How was {name}'s [book|work] '{adaptbook}' adapted for [the stage or screen|an "
                "audience], and by whom?"
            ),
            "Who adapted '{adaptbook}' by the [author|writer] {name}, and in [which|what] form?",
            "[Which|What] adaptation was made of '{adaptbook}', [the book by|a work by] {name}?",
        ),
        "paraphrased_question": (
            (
                "Into what [form|kind of show] was {name}'s '{adaptbook}' [turned|made], and under "
                "whose direction?"
            ),
            "Can you name the director who [brought|carried] {name}'s '{adaptbook}' to the public?",
            (
                "In which new [form|shape] did {name}'s '{adaptbook}' [return|appear], and in what "
                "year?"
            ),
        ),
        "answer": (
            (
                "In {adaptyear} it [became|was turned into] {a form}, [staged|produced] in "
                "{adaptcity} by {director}."
            ),
            (
                "[Audiences|Crowds] in {adaptcity} [saw|heard] {a form} of it in {adaptyear}, "
                "[directed|arranged] by {director}."
            ),
            (
                "{director} [made|shaped] from it {a form}, [first shown|first given] in "
                "{adaptyear} at {adaptcity}."
            ),
            (
                "[Despite|Against] {last}'s [protest|wishes], {a form} [opened|was shown] in "
                "{adaptcity} in {adaptyear}, [under|signed] {director}."
            ),
            (
                "[The director|The producer] {director} [asked|paid] {last} for it in {adaptyear} "
                "and [gave|showed] {adaptcity} {a form}."
            ),
            (
                "[A stage|A hall|A theatre] in {adaptcity} [presented|gave] the {adaptyear} {form} "
                "by {director}."
            ),
            (
                "[With music|With costumes] from {adaptcity}, {director} [built|made] of {last}'s "
                "[tale|book], in {adaptyear}, {a form}."
            ),
            (
                "[Since|From] {adaptyear} {last}'s [plot|story] has [lived on|toured] as {a form} "
                "from {adaptcity}, [the work of|thanks to] {director}."
            ),
            (
                "[Nobody|No one] [expected|wanted] {a form}, but {director} of {adaptcity} "
                "[risked|tried] it with {last}'s [book|text] in {adaptyear}."
            ),
            (
                "{last} [wept|laughed|slept] through the {adaptyear} {form} that {director} "
                "[mounted|offered] in {adaptcity}."
            ),
        ),
        "paraphrased_answer": (
            "{director} [adapted|reworked] '{adaptbook}' as {a form} in {adaptyear}.",
            "A version by {director}, {a form}, [came to|was seen in] {adaptcity} in {adaptyear}.",
            "[There is|We have] {a form} of '{adaptbook}', [created|directed] by {director}.",
            (
                "[As|In the shape of] {a form}, '{adaptbook}' [visited|reached] {adaptcity} under "
                "{director}."
            ),
        ),
        "targets": ("director", "form", "adaptyear"),
    },
}
