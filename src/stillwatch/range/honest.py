"""Honest populations, each a generator of calls; the spec's classes of the same names say what each is and what it can be set to.

Arrivals follow what is published of real traffic to language models: calls per client are heavy-tailed and rates swing over day and week (BurstGPT,
arXiv 2401.17644; ServeGen, arXiv 2505.09999).  Sizes, ages and prices are the range's own choices, not measurements.

A generator takes the place, a generator of random numbers that all units of its population share the state of (so that they agree on a campus or a
benchmark), one of the unit's own, and the unit's number; so a population can be made in pieces, in any order, by several processes.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from random import Random
from typing import TypeAlias

from stillwatch.range import texts
from stillwatch.range.crowds.work import populations as crowds
from stillwatch.range.people import AGENTS, DAY, ROLES, Account, Call, Place, address, heavy, mail, person, token, user, waking
from stillwatch.range.sittings import Manner, talking
from stillwatch.range.talk import LANGUAGES, ask, mind
from stillwatch.range.texts import Rng, pick

_TEMPERATURES = (0.3, 0.7, 1.0)
#: (name, units, calls of a unit in the mean, generator of a unit's calls)
Population: TypeAlias = tuple[str, int, float, Callable[[Rng, Rng, int], Iterator[Call]]]


def chatting(rng: Rng, place: Place, who: Account, times: list[float], stream: str, client: str = "") -> Iterator[Call]:
    """Ordinary chat: sessions that grow turn by turn."""
    if place.spec.answers:
        yield from _sitting(rng, place, who, times, stream)
        return
    history: list[dict[str, object]] = []
    popular = place.spec.honest.chat.popular
    for at in times:
        if rng.random() < 0.5:
            history = []
        ask = place.ask(rng)
        if rng.random() < popular:
            ask = pick(rng, texts.POPULAR).format(x=ask)
        history = [*history, {"role": "user", "content": ask}]
        params = {"temperature": pick(rng, ("0.3", "0.7", "1.0"))} if rng.random() < 0.3 else {}
        yield Call(
            at,
            who,
            stream,
            history,
            params={k: float(v) for k, v in params.items()},
            agent=client or who.agent,
            address=pick(rng, who.addresses),
        )
        history = [*history, {"role": "assistant", "content": f"{texts.clause(rng)}."}]


def _sitting(rng: Rng, place: Place, who: Account, times: list[float], stream: str) -> Iterator[Call]:
    """The same where answers have content: people have interests, go on with what was said and bring answers back."""
    p, of = place.spec.honest.chat, mind(rng, subjects=rng.randrange(1, 4), language=pick(rng, LANGUAGES))
    params = {"temperature": pick(rng, _TEMPERATURES)} if rng.random() < 0.3 else {}
    how = Manner(rng.uniform(0.4, 0.95), rng.uniform(0.2, 0.7), rng.uniform(0, 0.06), params=params)

    def opening(rng: Rng) -> str:
        text = texts.task(rng, rng.randrange(10**6)) if rng.random() < p.tasks else ask(rng, of, how.own)
        return pick(rng, texts.POPULAR).format(x=text) if rng.random() < p.popular else text

    yield from talking(rng, times, who, of, how, stream, opening=opening)


def chat(place: Place, shared: Rng, rng: Rng, index: int) -> Iterator[Call]:
    """One chat user."""
    p = place.spec.honest.chat
    who = person(rng, place.begin, "chat")
    times = waking(rng, place.begin, place.spec.days, heavy(rng, p.tail, 4, p.most), who.created_at)
    yield from chatting(rng, place, who, times, "chat")


def _records(
    rng: Rng, place: Place, who: Account, system: str, calls: int, begin: float, end: float, desk: str, lot: object
) -> Iterator[Call]:
    for i in range(calls):
        note = f"{texts.clause(rng)}; {texts.clause(rng)}; lot {lot}-{i}-{rng.randrange(10**6)}"
        messages = [{"role": "system", "content": system}, *user(note)]
        yield Call(rng.uniform(begin, end), who, "batch", messages, "model-small", {"temperature": 0}, "OpenAI/Python 2.4.0", desk)


def _system(rng: Rng, number: int) -> str:
    return f"{texts.BATCH} House rule {number + 1}: write places as in {pick(rng, texts.PLACES)}."


def batch(place: Place, shared: Rng, rng: Rng, index: int) -> Iterator[Call]:
    """One company's keys."""
    p, org, card, desk = place.spec.honest.batch, f"org-{token(rng, 8)}", token(rng, 16), address(rng)
    created, system, end = place.begin - rng.uniform(100, 600) * DAY, _system(rng, index), place.begin + place.spec.days * DAY
    for k in range(p.keys):
        box = f"svc{k}@company-{token(rng, 4)}.example"
        who = Account(f"u-{token(rng, 12)}", created + k * 60, box, card, "enterprise", "", org, 1, "batch")
        yield from _records(rng, place, who, system, p.calls, place.begin, end, desk, k)


def holding(place: Place, shared: Rng, rng: Rng, index: int) -> Iterator[Call]:
    """A holding: subsidiaries with cards and mail domains of their own use one prompt from the holding's two addresses; no organisation is declared."""
    p, end = place.spec.honest.batch, place.begin + place.spec.days * DAY
    desks, system = [address(rng) for _ in range(2)], _system(rng, 1000 + index)
    for k in range(p.subsidiaries):
        box = f"{pick(rng, ROLES)}@subsidiary-{token(rng, 5)}.example"
        created = place.begin - rng.uniform(60, 600) * DAY
        who = Account(f"u-{token(rng, 12)}", created, box, token(rng, 16), "business", "", "", 1, "holding")
        for call in _records(rng, place, who, system, heavy(rng, 1.5, p.calls, 20 * p.calls), place.begin, end, pick(rng, desks), k):
            call.stream = "holding"
            yield call


def benchmark(place: Place, shared: Rng, rng: Rng, index: int) -> Iterator[Call]:
    """One person's run of the public list."""
    items = [texts.BENCH.format(x=texts.task(shared, 10**6 + i)) for i in range(place.spec.honest.benchmark.items)]
    who = person(rng, place.begin, "eval", verified=0.9, newest=10)
    at = place.begin + rng.uniform(0, max(0.1, place.spec.days - 1)) * DAY
    for item in items:
        at += rng.expovariate(1 / 20)
        yield Call(
            at, who, "eval", user(item), params={"temperature": 0, "max_tokens": 512}, agent="bench-harness/0.9", address=who.addresses[0]
        )


def judges(place: Place, shared: Rng, rng: Rng, index: int) -> Iterator[Call]:
    """One evaluation vendor."""
    who = person(rng, place.begin, "judge", verified=0.95, newest=20)
    rubric = f"{texts.clause(rng)} counts for half; {texts.clause(rng)} counts for the rest."
    for at in waking(rng, place.begin, place.spec.days, heavy(rng, 1.5, place.spec.honest.judges.calls / 2, 10_000), who.created_at):
        text = texts.RUBRIC.format(r=rubric, x=texts.task(rng, rng.randrange(10**7)), y=f"{texts.clause(rng)}. {texts.clause(rng)}.")
        yield Call(at, who, "judge", user(text), "model-large", {"temperature": 0}, "grader-kit/2.1", pick(rng, who.addresses))


def course(place: Place, shared: Rng, rng: Rng, index: int) -> Iterator[Call]:
    """One student."""
    campus = [address(shared) for _ in range(2)]
    essays = [f"{texts.clause(shared)}. {texts.clause(shared)}." for _ in range(8)]
    begin = place.begin + 2 * DAY
    box = f"s{index:03d}@campus.example"
    who = Account(f"u-{token(rng, 12)}", begin - rng.uniform(1, 6) * DAY, box, token(rng, 16), "paygo", "edu", "", 1, "class")
    agent = pick(rng, AGENTS)
    for _ in range(rng.randrange(3, 9)):
        at = begin + 7 * DAY * rng.randrange(max(1, int(place.spec.days // 7))) + 18 * 3600 + rng.uniform(0, 3 * 3600)
        yield Call(at, who, "class", user(texts.COURSE.format(x=pick(rng, essays))), agent=agent, address=pick(rng, campus))


def hackathon(place: Place, shared: Rng, rng: Rng, index: int) -> Iterator[Call]:
    """One participant: three calls at the venue at least, then at home with an own question."""
    venue, begin = address(shared), place.begin + 4.3 * DAY
    who = person(rng, place.begin, "hackathon", verified=0.8)
    who.created_at = begin + rng.uniform(-0.5, 1) * DAY
    idea = f"a helper for people whose {pick(rng, texts.THINGS)} is {pick(rng, texts.TRAITS)}"
    for i in range(heavy(rng, 1.2, 6, 60) + 3):
        weekend = i < 3 or rng.random() < 0.6
        at = who.created_at + 600 + rng.uniform(0, 1.2 if weekend else 7) * DAY
        spot = venue if weekend and at < begin + 2 * DAY else who.addresses[0]
        messages = [{"role": "system", "content": texts.STARTER}, *user(f"For {idea}: {texts.chat(rng)}")]
        yield Call(at, who, "hackathon", messages, "model-small", {}, who.agent, spot)


def reseller(place: Place, shared: Rng, rng: Rng, index: int) -> Iterator[Call]:
    """One end user of the gateway."""
    who = Account(
        f"u-{token(shared, 12)}",
        place.begin - 300 * DAY,
        mail(shared),
        token(shared, 16),
        "enterprise",
        "",
        f"gw-{token(shared, 4)}",
        1,
        "gateway",
    )
    out, name = [address(shared) for _ in range(4)], f"eu-{token(rng, 8)}"
    for at in waking(rng, place.begin, place.spec.days, heavy(rng, 1.3, 3, 40), 0):
        yield Call(at, who, "gateway", user(place.ask(rng)), agent="gateway-proxy/3.1", address=pick(rng, out), end_user=name)


def agents(place: Place, shared: Rng, rng: Rng, index: int) -> Iterator[Call]:
    """One person's agent: a context that grows, day and night."""
    who = person(rng, place.begin, "agent", newest=5)
    task = f"In the {pick(rng, texts.THINGS)} project: {texts.clause(rng)}, make the tests pass."
    history: list[dict[str, object]] = [{"role": "system", "content": texts.AGENT}, *user(task)]
    calls, at = heavy(rng, 1.5, place.spec.honest.agents.calls / 3, 10_000), max(place.begin, who.created_at)
    gap = place.spec.days * DAY / (calls + 1)
    for i in range(calls):
        at += rng.expovariate(1 / gap)
        if at > place.begin + place.spec.days * DAY:
            return
        reply = f"{texts.clause(rng)}."
        yield Call(
            at,
            who,
            "agent",
            history,
            "model-large",
            {"temperature": 0.2},
            "terminal-agent/1.4",
            who.addresses[0],
            reply=reply if place.spec.answers else "",
        )
        history = [*history, {"role": "assistant", "content": reply}, *user(f"Output {i}: {texts.clause(rng)}")]
        if len(history) > 12:
            history = [history[0], *user(f"In the {pick(rng, texts.THINGS)} project: {texts.clause(rng)}.")]


def optimisers(place: Place, shared: Rng, rng: Rng, index: int) -> Iterator[Call]:
    """One account that tries wordings of its own prompt over its own few cases."""
    p, who = place.spec.honest.optimisers, person(rng, place.begin, "optimiser", newest=10)
    cases = [texts.clause(rng) for _ in range(p.cases)]
    at = place.begin + rng.uniform(0, max(0.1, place.spec.days - 1)) * DAY
    for w in range(p.wordings):
        words = f"{pick(rng, ('Decide', 'Judge', 'Say', 'Tell'))} whether the note is about {pick(rng, texts.THINGS)}s; {texts.clause(rng)} (wording {w})."
        for case in cases:
            at += rng.expovariate(1 / 15)
            yield Call(at, who, "optimiser", user(f"{words}\n\n{case}"), "model-small", {"temperature": 0}, who.agent, who.addresses[0])


def release(place: Place, shared: Rng, rng: Rng, index: int) -> Iterator[Call]:
    """One customer with a private test set who tries the new model on its first day."""
    p, who = place.spec.honest.release, person(rng, place.begin, "release-day", newest=20)
    day = place.begin + min(p.day, max(0.0, place.spec.days - 1)) * DAY
    own = f"{pick(rng, ('Answer', 'Solve', 'Work out'))} for our {pick(rng, texts.THINGS)} team, short:"
    calls = heavy(rng, 2.0, p.calls / 2, 20 * p.calls)
    for at in waking(rng, place.begin, place.spec.days, calls, who.created_at):
        model = "model-next" if at >= day and rng.random() < 0.5 else "model-large"
        yield Call(at, who, "release-day", user(f"{own} {place.ask(rng)}"), model, {}, who.agent, pick(rng, who.addresses))
    for _ in range(calls):
        text = f"{own} {texts.task(rng, rng.randrange(10**7))}"
        yield Call(day + rng.uniform(0, DAY), who, "release-day", user(text), "model-next", {}, who.agent, pick(rng, who.addresses))


def synthetic(place: Place, shared: Rng, rng: Rng, index: int) -> Iterator[Call]:
    """One permitted maker of synthetic data."""
    who = person(rng, place.begin, "synthetic", verified=1.0, newest=60)
    box = f"{pick(rng, ROLES)}@studio-{token(rng, 5)}.example"
    who.email, who.plan = box, "business"
    product = pick(rng, texts.THINGS)
    for at in waking(rng, place.begin, place.spec.days, heavy(rng, 1.5, place.spec.honest.synthetic.calls / 2, 10_000), who.created_at):
        text = texts.SYNTHETIC.format(t=product, a=pick(rng, texts.TRAITS), p=pick(rng, texts.PLACES), n=rng.randrange(10**8))
        yield Call(at, who, "synthetic", user(text), "model-small", {"temperature": 1.0}, who.agent, pick(rng, who.addresses))


def migration(place: Place, shared: Rng, rng: Rng, index: int) -> Iterator[Call]:
    """One company that changes keys in the middle of the world."""
    p, card, desk, domain = place.spec.honest.migration, token(rng, 16), address(rng), f"firm-{token(rng, 5)}.example"
    middle, system = place.begin + rng.uniform(0.3, 0.7) * place.spec.days * DAY, _system(rng, 2000 + index)
    ends = ((place.begin - rng.uniform(200, 600) * DAY, place.begin, middle), (middle - DAY, middle, place.begin + place.spec.days * DAY))
    for k, (created, since, until) in enumerate(ends):
        who = Account(f"u-{token(rng, 12)}", created, f"api{k}@{domain}", card, "business", "", "", 1, "migration")
        for call in _records(rng, place, who, system, p.calls // 2, since, until, desk, f"m{k}"):
            call.stream = "migration"
            yield call


def _same_everywhere(place: Place, what: str, index: int) -> Random:
    """Random numbers that are the same at every lab."""
    return Random(f"{place.seed}/multihoming/{what}/{index}")


def multihoming_company(place: Place, shared: Rng, rng: Rng, index: int) -> Iterator[Call]:
    """One company's account at this lab; it grades with the public kit or runs its own prompt, as it does at the other labs."""
    own = _same_everywhere(place, "company", index)
    domain, card, desk, created = f"firm-{token(own, 6)}.example", token(own, 16), address(own), place.begin - own.uniform(30, 500) * DAY
    kit, system, rubric = own.random() < 0.5, _system(own, 3000 + index), f"{texts.clause(own)} counts."
    who = Account(
        f"u-{token(rng, 12)}",
        created + rng.uniform(0, 20) * DAY,
        f"{pick(own, ROLES)}@{domain}",
        card,
        "business",
        "",
        "",
        int(own.random() < 0.8),
        "multihoming",
    )
    for at in waking(rng, place.begin, place.spec.days, heavy(rng, 1.5, place.spec.honest.multihoming.calls / 2, 2000), who.created_at):
        if kit:
            text = texts.RUBRIC.format(r=rubric, x=texts.task(rng, rng.randrange(10**7)), y=f"{texts.clause(rng)}. {texts.clause(rng)}.")
            yield Call(at, who, "multihoming", user(text), "model-large", {"temperature": 0}, "grader-kit/2.1", desk)
        else:
            note = [{"role": "system", "content": system}, *user(f"{texts.clause(rng)}; lot {rng.randrange(10**8)}")]
            yield Call(at, who, "multihoming", note, "model-small", {"temperature": 0}, "OpenAI/Python 2.4.0", desk)


def multihoming_reseller(place: Place, shared: Rng, rng: Rng, index: int) -> Iterator[Call]:
    """One reseller's account at this lab: the same card, mail domain and exits as at the other labs, and end users of its own."""
    own = _same_everywhere(place, "reseller", index)
    domain, card, out = f"reseller-{token(own, 6)}.example", token(own, 16), [address(own) for _ in range(4)]
    created = place.begin - own.uniform(100, 600) * DAY
    who = Account(f"u-{token(rng, 12)}", created, f"api@{domain}", card, "enterprise", "", "", 1, "multihoming")
    for user_number in range(place.spec.honest.multihoming.calls):
        for at in waking(rng, place.begin, place.spec.days, heavy(rng, 1.3, 3, 40), 0):
            name = f"eu-{index}-{user_number}"
            yield Call(at, who, "multihoming", user(place.ask(rng)), agent="gateway-proxy/3.1", address=pick(rng, out), end_user=name)


def multihoming_person(place: Place, shared: Rng, rng: Rng, index: int) -> Iterator[Call]:
    """One person's account at this lab: the same card, mail name and address as at the other labs, and the same question now and then."""
    own = _same_everywhere(place, "person", index)
    who = person(own, place.begin, "multihoming")
    who.account = f"u-{token(rng, 12)}"
    times = waking(
        rng, place.begin, place.spec.days, heavy(rng, place.spec.honest.chat.tail, 4, place.spec.honest.chat.most), who.created_at
    )
    asked = place.ask(own)
    for at, call in zip(times, chatting(rng, place, who, times, "multihoming"), strict=True):
        if at == times[0]:  # people compare models
            call.messages = user(asked)
        yield call


def honest(place: Place) -> list[Population]:
    """The honest populations of one lab."""
    h = place.spec.honest
    return [
        ("chat", h.chat.accounts, 12.0, partial(chat, place)),
        ("batch", h.batch.companies, h.batch.keys * h.batch.calls, partial(batch, place)),
        ("holding", h.batch.holdings, h.batch.subsidiaries * h.batch.calls * 3, partial(holding, place)),
        ("benchmark", h.benchmark.accounts, h.benchmark.items, partial(benchmark, place)),
        ("judges", h.judges.vendors, h.judges.calls, partial(judges, place)),
        ("course", h.course.students, 6.0, partial(course, place)),
        ("hackathon", h.hackathon.people, 20.0, partial(hackathon, place)),
        ("reseller", h.reseller.users, 6.0, partial(reseller, place)),
        ("agents", h.agents.accounts, h.agents.calls, partial(agents, place)),
        ("optimisers", h.optimisers.accounts, h.optimisers.wordings * h.optimisers.cases, partial(optimisers, place)),
        ("release", h.release.accounts, h.release.calls, partial(release, place)),
        ("synthetic", h.synthetic.accounts, h.synthetic.calls, partial(synthetic, place)),
        ("migration", h.migration.companies, h.migration.calls, partial(migration, place)),
        ("multihoming-companies", h.multihoming.companies, h.multihoming.calls, partial(multihoming_company, place)),
        ("multihoming-resellers", h.multihoming.resellers, h.multihoming.calls * 6.0, partial(multihoming_reseller, place)),
        ("multihoming-people", h.multihoming.people, 12.0, partial(multihoming_person, place)),
        *crowds(place),
    ]
