"""What people of the range talk about: subjects with words of their own, wide enough that an account's interests show in its asks."""

from __future__ import annotations

from typing import Final

#: subject -> its words
SUBJECTS: Final[dict[str, tuple[str, ...]]] = {
    "bread": ("sourdough", "rye flour", "proofing basket", "crust", "baguette", "yeast", "oven stone", "brioche", "crumb", "hydration", "starter", "scoring blade"),
    "tenancy": ("deposit", "landlord", "notice period", "lease", "inventory", "sublet", "rent rise", "boiler", "eviction", "utility bill", "mould", "handover"),
    "web code": ("flexbox", "login form", "cookie banner", "router", "unit test", "callback", "dark mode", "service worker", "table view", "build step", "promise", "lazy image"),
    "databases": ("foreign key", "slow query", "index", "migration", "left join", "replica", "deadlock", "vacuum", "view", "trigger", "partition", "backup window"),
    "gardens": ("tomato seedlings", "compost", "slugs", "hedge", "raised bed", "pruning", "rain barrel", "blight", "mulch", "pear tree", "lawn", "frost cloth"),
    "running": ("tempo run", "shin splints", "half marathon", "cadence", "trail shoes", "recovery week", "hill repeats", "stretching", "heart rate", "taper", "gels", "pacing"),
    "wedding": ("seating plan", "vows", "caterer", "invitation", "best man", "florist", "first dance", "registry office", "dress code", "toast", "honeymoon", "guest list"),
    "taxes": ("deduction", "home office", "receipt", "depreciation", "filing date", "self-employment", "withholding", "allowance", "late fee", "audit letter", "mileage", "pension credit"),
    "guitar": ("barre chord", "fingerstyle", "capo", "strumming", "pentatonic scale", "amp", "setlist", "tuning", "blues riff", "string gauge", "metronome", "solo"),
    "chemistry": ("buffer", "titration", "oxidation state", "catalyst", "equilibrium", "molarity", "ester", "enthalpy", "isomer", "chromatography", "reflux", "solubility"),
    "history": ("guild charter", "siege", "harvest failure", "trade route", "treaty", "plague year", "abbey", "census", "revolt", "coinage", "canal age", "suffrage"),
    "travel": ("night train", "visa form", "hostel", "ferry crossing", "packing list", "layover", "old town", "street food", "rail pass", "travel insurance", "viewpoint", "day trip"),
    "parenting": ("bedtime", "screen time", "tantrum", "school lunch", "homework", "pocket money", "sleep regression", "swimming lesson", "sibling quarrel", "reading level", "chores", "birthday party"),
    "job search": ("cover letter", "salary range", "portfolio", "career gap", "recruiter", "reference", "probation", "interview question", "notice", "trial day", "job advert", "follow-up mail"),
    "statistics": ("confidence interval", "outlier", "regression", "sample size", "null hypothesis", "residual", "bootstrap", "median", "variance", "bias", "survey weight", "histogram"),
    "physics": ("torque", "inclined plane", "capacitor", "refraction", "standing wave", "momentum", "friction", "orbit", "heat pump", "spectrum", "pulley", "pendulum swing"),
    "fiction": ("plot twist", "narrator", "dialogue", "villain", "first chapter", "world map", "magic system", "epilogue", "flashback", "point of view", "side character", "cliffhanger"),
    "cars": ("brake pads", "timing belt", "winter tyres", "battery", "clutch", "coolant", "inspection", "dent", "oil change", "rattle", "mileage log", "trade-in"),
    "sewing": ("zip fly", "bobbin", "hem", "dart", "pattern paper", "linen", "buttonhole", "lining", "overlock", "pleat", "seam allowance", "bias tape"),
    "law": ("estoppel", "offer and acceptance", "tort", "consideration", "precedent", "burden of proof", "remedy", "easement", "injunction", "statute", "negligence", "appeal"),
    "biology": ("mitosis", "enzyme", "food web", "allele", "osmosis", "nephron", "photosynthesis", "antibody", "ribosome", "synapse", "taxonomy", "succession"),
    "shop": ("refund", "shipping label", "stock count", "product page", "discount code", "supplier", "packaging", "return window", "newsletter", "review", "checkout", "wholesale price"),
    "games": ("boss fight", "skill tree", "level design", "speedrun", "dice pool", "party of four", "crafting", "dungeon", "save file", "house rules", "card draft", "loot table"),
    "networks": ("subnet", "router firmware", "port forward", "latency", "mesh", "firewall rule", "packet loss", "dns record", "tunnel", "switch", "cable run", "access point"),
    "health": ("sleep diary", "iron levels", "back pain", "allergy test", "vaccination card", "physio exercise", "migraine", "knee brace", "blood pressure", "meal plan", "check-up", "reading glasses"),
    "film": ("long take", "script", "storyboard", "colour grade", "lens", "documentary", "soundtrack", "casting", "festival entry", "subtitle", "trailer", "match cut"),
    "farming": ("crop rotation", "drip line", "lambing", "silage", "soil test", "cover crop", "tractor hitch", "grain moisture", "fence post", "orchard spray", "milk price", "manure"),
    "budget": ("savings rate", "mortgage", "credit score", "index fund", "emergency fund", "overdraft", "pension", "interest rate", "standing order", "loan term", "groceries", "insurance excess"),
    "astronomy": ("double star", "eclipse", "light curve", "finder scope", "red dwarf", "meteor shower", "parallax", "nebula", "seeing", "crater", "aperture", "comet tail"),
    "office": ("minutes", "agenda", "quarterly report", "slide deck", "pivot table", "onboarding", "out-of-office", "budget line", "memo", "invoice", "time sheet", "town hall"),
}  # fmt: skip
