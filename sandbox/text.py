"""Believable English support text, people and products, the same for the same seed."""

import itertools
import random
from collections.abc import Iterator
from dataclasses import dataclass

FIRST = [
    "Ada",
    "Ben",
    "Carla",
    "Dimitri",
    "Elena",
    "Farid",
    "Grace",
    "Hugo",
    "Ines",
    "Jonas",
    "Kavya",
    "Liam",
    "Mara",
    "Noah",
    "Olivia",
    "Pedro",
    "Quinn",
    "Rosa",
    "Samir",
    "Tara",
]
LAST = [
    "Adams",
    "Baker",
    "Costa",
    "Dubois",
    "Eriksen",
    "Fischer",
    "Garcia",
    "Haddad",
    "Ito",
    "Jensen",
    "Kowalski",
    "Lindgren",
    "Moreau",
    "Novak",
    "Okafor",
    "Patel",
]
CITIES = [
    "Berlin",
    "Lisbon",
    "Austin",
    "Toronto",
    "Oslo",
    "Lyon",
    "Dublin",
    "Porto",
    "Denver",
    "Ghent",
    "Zurich",
    "Leeds",
]
COMPANIES = [
    "Northwind",
    "Bluepeak",
    "Hallmere",
    "Cobalt",
    "Fernhill",
    "Oakline",
    "Starling",
    "Tidewater",
    "Brightside",
    "Quarry",
    "Lantern",
    "Meridian",
]

# (subject, area of the product, what it is for, what can go wrong)
SUBJECTS = [
    ("invoices", "Billing", "see what you were charged and why", "the total differs from your plan's price"),
    ("payment methods", "Billing", "pay by card, direct debit or bank transfer", "the bank declines the card"),
    ("refunds", "Orders", "return money for a cancelled or damaged order", "the refund stays pending"),
    ("two-factor authentication", "Security", "protect sign-in with a second step", "the six-digit code is rejected"),
    ("passwords", "Security", "keep every agent's account private", "the reset mail does not arrive"),
    ("single sign-on", "Security", "let your identity provider sign people in", "the assertion is refused"),
    ("team roles", "Team", "decide who may see and change what", "an agent sees a page that should be hidden"),
    ("invitations", "Team", "bring new colleagues into the workspace", "the link in the invitation has expired"),
    ("webhooks", "Developers", "tell your own systems about new events", "deliveries fail with a time-out"),
    ("API keys", "Developers", "let scripts act for your account", "requests are answered with 401"),
    ("CSV exports", "Reports", "analyse conversations in a spreadsheet", "special characters look broken"),
    ("dashboards", "Reports", "follow response times at a glance", "yesterday's numbers are missing"),
    ("shipping labels", "Orders", "send parcels without a trip to the counter", "the carrier refuses the address"),
    ("delivery tracking", "Orders", "know where a parcel is", "the status does not move for days"),
    ("email notifications", "Settings", "hear about what needs an answer", "mails end up in the spam folder"),
    ("working hours", "Settings", "set expectations outside office time", "the away message appears too early"),
    ("saved replies", "Inbox", "answer common questions in seconds", "placeholders stay empty"),
    ("conversation tags", "Inbox", "group what customers ask for", "two tags mean the same thing"),
    ("the chat widget", "Channels", "talk to visitors on your site", "the bubble does not appear"),
    ("the mobile app", "Channels", "answer on the way", "push messages are silent"),
]
TASKS = [
    ("Setting up {s}", "set up {s}"), ("Troubleshooting {s}", "solve problems with {s}"),
    ("Managing {s} for a large team", "manage {s} for many people"), ("{S}: frequently asked questions", "use {s}"),
    ("Migrating {s} from another tool", "move {s} from another tool"), ("Limits and quotas of {s}", "plan {s}"),
    ("Best practices for {s}", "get the most out of {s}"), ("Auditing changes to {s}", "trace changes to {s}"),
    ("Restoring {s} after a mistake", "restore {s}"), ("Automating {s} with rules", "automate {s}"),
]  # fmt: skip
PLANS = ["Starter", "Growth", "Business", "Enterprise"]
PLACES = ["on the web", "on iOS", "on Android", "in the sandbox workspace", "for resellers", "in the EU region"]
INTRODUCTIONS = [
    "With {s} you can {use}. This article shows how to {task} in about {n} minutes.",
    "Most workspaces use {s} to {use}. Here is what to do when you want to {task}.",
    "{S} live under <strong>{area}</strong> and help you to {use}. You need the {plan} plan or higher to {task}.",
]
STEPS = [
    "Open <strong>Settings &gt; {area}</strong> and choose <em>{S}</em>.",
    "Select the workspace that you want to change; the current one is marked with a dot.",
    "Choose <strong>Add</strong>, give a name of at most {n} characters, and confirm.",
    "Check the preview on the right side before you save.",
    "Save. The change reaches all agents within {n} seconds.",
    "Ask one colleague to test it before you announce it to everybody.",
    "Note the reference number that appears; our support team asks for it.",
]
CAUSES = [
    "If {trouble}, sign out, clear the browser's cache, and try again in a private window.",
    "When {trouble}, compare the time zone of the workspace with the one of your device first.",
    "Now and then {trouble}. Wait {n} minutes, since changes travel through a queue, then reload the page.",
    "In case {trouble}, an administrator finds the reason in the audit log under <em>{area}</em>.",
]
NOTES = [
    "Administrators on the {plan} plan may keep {s} for up to {n} months; after that they are archived.",
    "There is a limit of {n} changes an hour. Beyond it, new changes are queued and nothing is lost.",
    "Deleting is final after {n} days. Until then, choose <strong>Restore</strong> in the recycle bin.",
    "Agents with the role <em>viewer</em> can read {s} but not change them.",
]


@dataclass(frozen=True, slots=True)
class Person:
    """Somebody who might write to a support team."""

    first: str
    last: str
    email: str
    phone: str
    company: str
    city: str


@dataclass(frozen=True, slots=True)
class Article:
    """A help article; the body is HTML."""

    title: str
    body: str
    area: str


def people(count: int, source: random.Random) -> Iterator[Person]:
    """People with different e-mail addresses and telephone numbers."""
    for number in range(count):
        first, last, company = source.choice(FIRST), source.choice(LAST), source.choice(COMPANIES)
        email = f"{first}.{last}.{number}@{company}.example".lower()
        phone = f"+1415555{number % 10_000:04d}" if number < 10_000 else f"+1628{number % 10_000_000:07d}"
        yield Person(first, last, email, phone, company, source.choice(CITIES))


def articles(count: int, source: random.Random) -> Iterator[Article]:
    """Articles with different titles, as HTML of headings, paragraphs and lists."""
    combined = list(itertools.product(SUBJECTS, TASKS, ["", *PLACES]))
    source.shuffle(combined)
    for number in range(count):
        (subject, area, use, trouble), (title, task), place = combined[number % len(combined)]
        words = {"s": subject, "S": subject[0].upper() + subject[1:], "area": area, "use": use, "trouble": trouble}
        words["task"] = task.format_map(words)

        def say(template: str, known: dict[str, str] = words) -> str:
            return template.format_map({**known, "n": str(source.randint(2, 60)), "plan": source.choice(PLANS)})

        edition = f" (part {number // len(combined) + 1})" if number >= len(combined) else ""
        steps = "".join(f"<li>{say(step)}</li>" for step in source.sample(STEPS, source.randint(3, 6)))
        causes = "".join(f"<p>{say(cause)}</p>" for cause in source.sample(CAUSES, source.randint(1, 3)))
        notes = "".join(f"<li>{say(note)}</li>" for note in source.sample(NOTES, source.randint(2, 4)))
        body = (
            f"<p>{say(source.choice(INTRODUCTIONS))}</p><h2>Before you start</h2><ul>{notes}</ul>"
            f"<h2>{say('How to {task}')}</h2><ol>{steps}</ol><h3>If {say('{trouble}')}</h3>{causes}"
        )
        yield Article(f"{say(title)} {place}".strip() + edition, body, area)
