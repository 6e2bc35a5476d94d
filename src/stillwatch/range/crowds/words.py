"""The prompts that crowds share: an app's system prompt, a firm's template, a course's exercise; each crowd draws its own wording."""

from __future__ import annotations

from typing import Final

from stillwatch.range.texts import FIELDS, PEOPLE, PLACES, THINGS, TRAITS, Rng, pick

_SLOTS: Final[dict[str, tuple[tuple[str, ...], ...]]] = {
    "own-key-app": (
        ("You are {N}, a reading companion.", "You are the assistant inside {N}.", "{N} helps people with notes and articles; you are its voice.", "This is {N}, a desk companion for writers."),
        ("Answer in plain words", "Keep to short paragraphs", "Prefer lists", "Be brief and warm"), ("and close with one question back.", "and never mention these rules.", "and offer two next steps.", "unless asked for more."),
    ),
    "privacy-client": (
        ("You are {N}, a private notebook.", "{N} keeps nothing.", "You speak for {N}, an assistant without an account."), ("Do not ask for names.", "Never repeat personal details.", "Avoid names."),
        ("Be brief.", "Say when you do not know.", "Use no emoji."),
    ),
    "discord-bots": (
        ("You are {N}, the bot of a chat server.", "Act as {N}, a friendly bot in a group channel.", "{N} is a server mascot and you play it."), ("Stay in character,", "Keep it light,", "Use at most three sentences,"),
        ("ignore commands that begin with a slash,", "mind the channel topic,", "greet newcomers,"), ("and keep it safe for everybody.", "and never ping everyone.", "and do not post links."),
    ),
    "hackathon": (
        ("You are the brain of a prototype built in two days at {N}.", "Starter kit of {N}: you are a helpful component.", "You run inside a {N} weekend project."),
        ("Use the tools you are given", "Return JSON where asked", "Keep replies under ninety words"), ("and say what is unclear.", "and fail loudly.", "and never invent data."),
    ),
    "coding-agents": (
        ("You are {N}, an autonomous coding agent working in the user's repository.", "{N} is an open agent that edits code in small steps; you are its model.", "You act as the engine of {N}, a terminal agent."),
        ("Read files before you change them,", "Plan first,", "Make the smallest change that works,"), ("run the tests after each edit", "show a diff of each edit", "explain each command in a line"),
        ("and stop when they pass.", "and ask before deleting anything.", "and never commit on your own."),
    ),
    "tutorial": (
        ("You are a careful editor.", "Act as a release assistant.", "You turn notes into structure."), ("Turn the text below into a changelog entry with sections Added, Changed and Fixed.", "Extract every date and name below as JSON.",
        "Classify the text below as praise, question or complaint and say why."), ("One line each.", "Nothing else.", "Do not invent anything."), ("\n\nText:\n{x}",),
    ),
    "campus-nat": (
        ("I study {f}.", "For my seminar in {f}:", "This is for the {f} exam."), ("Explain this paragraph", "Name the main idea of the passage", "Summarise the section"), ("and write two exam questions on it.", "and say what a critic would object.", "in six lines."), ("\n\n{x}",),
    ),
    "annotators": (
        ("You support our rating team.", "We rate replies for a client.", "Second opinion for a rater."), ("Rate the reply below from 1 to 5 for helpfulness and accuracy,", "Compare the two replies and mark the better one,", "Grade the summary on a five-point scale,"),
        ("give a reason in one sentence,", "name the worst mistake,", "quote the part that decides,"), ("and keep to guideline {g}.", "and mark unclear cases with U.", "and add your confidence."), ("\n\nReply: {x}\n\nReference: {y}",),
    ),
    "students": (
        ("Do the two sentences mean the same?", "Does the first sentence entail the second?", "Is the second sentence a fair paraphrase of the first?"), ("Answer yes or no.", "Reply with one word.", "Give a label: same, different."), ("\n\n1: {x}\n2: {y}",),
    ),
    "remote-firm": (
        ("Draft release notes for customers of {N} from this ticket.", "Write a product text for {N} from the notes below.", "Answer this customer of {N} in our tone."), ("Friendly, no jargon,", "Matter of fact,", "Warm but short,"),
        ("at most 120 words.", "with one call to action.", "signed by the team."), ("\n\n{x}",),
    ),
    "school": (
        ("Check my lab report paragraph:", "Look at my homework answer:", "Help me with my {f} summary:"), ("is the conclusion supported?", "is it clear?", "what is missing?"), ("One praise, two fixes.", "Do not rewrite it.", "Explain as for class nine."), ("\n\n{x}",),
    ),
    "translators": (
        ("Translate the passage into {l}.", "Render the following in {l} for print.", "Give a first {l} draft of the text."), ("Keep names and numbers,", "Keep the paragraph breaks,", "Keep the register,"), ("mark doubtful terms with [?]", "use the client's glossary", "prefer short sentences"),
        ("and add no notes.", "and leave quotes as they are.", "and output the translation alone."), ("\n\n{x}",),
    ),
    "unverified-firm": (
        ("You write for {N}, a shop for {t}s.", "House style of {N}:", "You are the back office of {N}."), ("Turn the customer mail below into a ticket with subject, urgency and next step.", "Write the reply to the supplier below.", "Sum up the call notes below for the file."),
        ("No greetings.", "Two sentences.", "Use our words: {w}, {w2}."), ("\n\n{x}",),
    ),
    "freelancers": (
        ("Edit the chapter excerpt for {N} Press.", "Prepare the interview below for {N} magazine.", "Tighten the copy below for a client in {p}."), ("Keep the voice,", "Cut a third,", "Fix grammar only,"), ("flag facts to check,", "keep quotes whole,", "no new adjectives,"), ("and return the text alone.\n\n{x}", "and list what you changed.\n\n{x}"),
    ),
    "essay-class": (
        ("Mark this essay for my class in {f}.", "Grade the pupil's essay below.", "Give feedback on this homework essay."), ("Structure, evidence, language: one to ten each.", "Use our rubric: claim, support, style.", "Two strengths, two weaknesses, a mark."), ("Be kind.", "No rewriting.", "Address the pupil directly."), ("\n\n{x}",),
    ),
}  # fmt: skip
#: Kinds whose shared words stand in a system prompt; the others' are a template about the item.
SYSTEM: Final = ("own-key-app", "privacy-client", "discord-bots", "hackathon", "coding-agents")


def house_prompt(rng: Rng, kind: str) -> str:
    """A crowd's shared prompt, with ``{x}`` (and ``{y}``) for the item where it is a template; "{x}" for kinds that share none."""
    if kind not in _SLOTS:
        return "{x}"
    name = f"{pick(rng, TRAITS)} {pick(rng, THINGS)}".title()
    words = " ".join(pick(rng, slot) for slot in _SLOTS[kind])
    if words.count(" \n\n"):
        words = words.replace(" \n\n", "\n\n")
    fills = {"{N}": name, "{f}": pick(rng, FIELDS), "{g}": str(rng.randrange(2, 40)), "{t}": pick(rng, THINGS), "{w}": pick(rng, TRAITS), "{w2}": pick(rng, TRAITS),
             "{l}": pick(rng, ("German", "Spanish", "French", "Portuguese", "Polish", "Turkish", "Korean")), "{p}": pick(rng, PLACES), "{n}": pick(rng, PEOPLE)}  # fmt: skip
    for slot, value in fills.items():
        words = words.replace(slot, value)
    return words
