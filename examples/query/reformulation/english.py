"""The little English that reformulating takes: small words, and the forms of verbs."""

from __future__ import annotations

WH_WORDS = {
    "who", "whom", "whose", "what", "which", "when", "where", "why", "how",
}

AUXILIARIES = {
    "am", "is", "are", "was", "were", "be", "been", "being", "do", "does", "did", "have",
    "has", "had", "can", "could", "will", "would", "shall", "should", "may", "might", "must",
}

STOP_WORDS = WH_WORDS | AUXILIARIES | {
    "a", "an", "the", "this", "that", "these", "those", "there", "some", "any", "and", "or",
    "but", "if", "of", "in", "on", "at", "by", "for", "to", "from", "with", "as", "than",
    "about", "into", "through", "i", "you", "he", "she", "it", "we", "they", "me", "him", "her",
    "us", "them", "my", "your", "his", "its", "our", "their", "not", "no", "so", "please",
    "many", "much", "said", "get",
}

# What stands in for the answer when a question about a circumstance is turned around.
CIRCUMSTANCES = {"when": "in *", "where": "in *", "why": "because *", "how": "by *"}

# Base form: past, participle.
IRREGULAR = {
    "become": ("became", "become"), "begin": ("began", "begun"), "break": ("broke", "broken"),
    "build": ("built", "built"), "buy": ("bought", "bought"), "catch": ("caught", "caught"),
    "choose": ("chose", "chosen"), "come": ("came", "come"), "cost": ("cost", "cost"),
    "do": ("did", "done"), "draw": ("drew", "drawn"), "drink": ("drank", "drunk"),
    "drive": ("drove", "driven"), "eat": ("ate", "eaten"), "fall": ("fell", "fallen"),
    "find": ("found", "found"), "fly": ("flew", "flown"), "forget": ("forgot", "forgotten"),
    "get": ("got", "got"), "give": ("gave", "given"), "go": ("went", "gone"),
    "grow": ("grew", "grown"), "have": ("had", "had"), "hear": ("heard", "heard"),
    "hold": ("held", "held"), "keep": ("kept", "kept"), "know": ("knew", "known"),
    "lead": ("led", "led"), "leave": ("left", "left"), "lose": ("lost", "lost"),
    "make": ("made", "made"), "mean": ("meant", "meant"), "meet": ("met", "met"),
    "pay": ("paid", "paid"), "put": ("put", "put"), "read": ("read", "read"),
    "ride": ("rode", "ridden"), "rise": ("rose", "risen"), "run": ("ran", "run"),
    "say": ("said", "said"), "see": ("saw", "seen"), "sell": ("sold", "sold"),
    "send": ("sent", "sent"), "shoot": ("shot", "shot"), "sing": ("sang", "sung"),
    "sink": ("sank", "sunk"), "sleep": ("slept", "slept"), "speak": ("spoke", "spoken"),
    "spend": ("spent", "spent"), "stand": ("stood", "stood"), "steal": ("stole", "stolen"),
    "swim": ("swam", "swum"), "take": ("took", "taken"), "teach": ("taught", "taught"),
    "tell": ("told", "told"), "think": ("thought", "thought"), "throw": ("threw", "thrown"),
    "understand": ("understood", "understood"), "wear": ("wore", "worn"),
    "win": ("won", "won"), "write": ("wrote", "written"),
}
PARTICIPLE_OF_PAST = {past: participle for past, participle in IRREGULAR.values()}

VOWELS = "aeiou"


def past(base: str) -> str:
    """invent -> invented, end -> ended, carry -> carried, write -> wrote"""
    if base in IRREGULAR:
        return IRREGULAR[base][0]
    if base.endswith("e"):
        return base + "d"
    if base.endswith("y") and base[-2:-1] not in VOWELS:
        return base[:-1] + "ied"
    return base + "ed"


def third_person(base: str) -> str:
    """work -> works, carry -> carries, watch -> watches"""
    if base == "have":
        return "has"
    if base.endswith(("s", "sh", "ch", "x", "z", "o")):
        return base + "es"
    if base.endswith("y") and base[-2:-1] not in VOWELS:
        return base[:-1] + "ies"
    return base + "s"


def participle(past_form: str) -> str:
    """wrote -> written, invented -> invented"""
    return PARTICIPLE_OF_PAST.get(past_form, past_form)


def merged(auxiliary: str, base: str) -> str:
    """did + invent -> invented, does + work -> works, can + fly -> can fly"""
    if auxiliary == "did":
        return past(base)
    if auxiliary == "does":
        return third_person(base)
    if auxiliary == "do":
        return base
    return f"{auxiliary} {base}"
