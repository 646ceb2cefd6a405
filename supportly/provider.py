"""What a provider is: facts, and short overrides of the templates below.

A provider subclasses `Provider` and the capabilities that it has: `FindsContacts`, `WritesContacts`, `LogsActivities`,
`StreamsKnowledge`; actions are methods under `@action`. Whoever calls a provider asks for the capability
(`isinstance`), never for the name.
"""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime
from typing import Annotated, Any, ClassVar, Final, Self, TypeVar

import phonenumbers
from pydantic import AfterValidator, AwareDatetime, BaseModel, ConfigDict, Field, WithJsonSchema
from pydantic.config import JsonDict, JsonValue

from supportly.contracts.actions import ActionAnswer
from supportly.contracts.answers import Capabilities
from supportly.contracts.contacts import ActivityJob, ActivityKind, Contact, Record, RecordRef
from supportly.contracts.knowledge import StreamPage
from supportly.errors import InvalidInput, NotFound, OutcomeUnknown, ProviderFailure, SupportlyError
from supportly.http import Answer, Cost, Headroom, Http, allowed_host, failure
from supportly.oauth import OAuth2, Tokens, read_refusal

FIRST_PAGE: Final = 100
"""Records that a lookup or an action asks for when the caller names no limit."""
SAME_PAGE: Final = "The provider named the same page twice in a row; the walk was stopped."


@dataclass(frozen=True)
class ConnectField:
    """A part of the provider's host that the user has to name when connecting, such as Zendesk's subdomain."""

    name: str
    title: str
    pattern: str
    example: str
    required: bool = True
    default: str = ""

    def read(self, given: object) -> str:
        """The value in lower case, when it fits the pattern completely. Raises InvalidInput otherwise."""
        text = given.lower() if isinstance(given, str) else ""
        text = text or self.default
        if (text or self.required) and not re.fullmatch(self.pattern, text):
            raise InvalidInput(
                f"`{self.name}` ({self.title}) is missing or not valid; an example is `{self.example}`.",
                field=self.name,
            )
        return text


@dataclass(frozen=True)
class Identity:
    """Who is connected. `tenant_key` tells provider accounts apart; `facts` are kept with the connection."""

    tenant_key: str
    account_name: str
    facts: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Stream:
    """A source of documents. Only public streams may be on by default; personal data never is."""

    id: str
    title: str
    description: str
    default: bool = False
    incremental: bool = False
    """True when a walk can start from a checkpoint."""
    complete: bool = True
    """True when a full walk lists everything, so that what is missing has been deleted."""


@dataclass(frozen=True)
class About:
    """What operators and administrators have to know; `docs/providers.md` is made of it. Plain sentences."""

    register: tuple[str, ...] = ()
    """How an operator registers our app at the provider, step by step."""
    limits: tuple[str, ...] = ()
    """The provider's published limits, and how we keep within them."""
    cannot: Mapping[str, str] = field(default_factory=dict)
    """What is not possible here -> why."""
    assumed: tuple[str, ...] = ()
    """What nobody could confirm: what we assume, and where it is changed."""


class ProviderSettings(BaseModel):
    """Settings that every provider has; a provider adds its own by subclassing. Unknown keys are refused."""

    model_config = ConfigDict(extra="forbid")
    sync_interval_minutes: int | None = Field(
        None, ge=15, le=10_080, description="Minutes between knowledge syncs; null takes the service's default."
    )
    streams: list[str] | None = Field(
        None, description="Knowledge streams to sync; null takes the provider's default streams."
    )
    field_mapping: dict[str, str] | None = Field(
        None,
        description="Provider field -> Supportly field (`name`, `email`, `company`, `custom_attributes.plan`…) for "
        "contact sync; null takes the default mapping.",
    )
    captain_actions: list[str] | None = Field(
        None, description="Actions that write and that Captain may run; null allows none."
    )


@dataclass(frozen=True)
class Call:
    """One piece of work at a provider: the way there, the connection's facts, the account's settings."""

    http: Http
    settings: Any = field(default_factory=ProviderSettings)
    """The provider's own settings class."""
    operation_id: str = ""
    """Marker of a write: stands in the body, or goes as the provider's idempotency key."""

    @property
    def facts(self) -> Mapping[str, str]:
        """What is kept with the connection: host parts, fields of the token answer, identity."""
        return self.http.facts

    @property
    def marker(self) -> str:
        """The text by which a write of ours is found again."""
        return f"supportly:{self.operation_id}"


ActionRun = Callable[[Any, Call, Any], Awaitable[ActionAnswer]]


@dataclass(frozen=True)
class Action:
    """One entry of `POST …/action`."""

    name: str
    description: str
    params: type[BaseModel]
    run: ActionRun
    example: Mapping[str, Any]
    writes: bool = False
    keyed: bool = False
    """The provider takes an idempotency key for it, so that repeating is safe."""
    find: Callable[[Any, Call, Any], Awaitable[ActionAnswer | None]] | None = None
    """Looks for the write after an unknown outcome, by a consistent read."""
    allowed_by: str = ""
    """Name of the setting (true or false) that decides whether Captain may run it; else `captain_actions` does."""

    def captain_may(self, settings: Mapping[str, Any]) -> bool:
        """True when Captain may run it: what only reads always, what writes only where `settings` allow it."""
        if not self.writes:
            return True
        if self.allowed_by:
            return settings.get(self.allowed_by) is True
        return self.name in (settings.get("captain_actions") or ())


class NoParams(BaseModel):
    """An action without parameters."""

    model_config = ConfigDict(extra="forbid")


class Params(BaseModel):
    """Base of an action's parameters: unknown ones are refused."""

    model_config = ConfigDict(extra="forbid")


AnyDay = TypeVar("AnyDay", bound=date)


def countable(day: AnyDay) -> AnyDay:
    """A date or time as it is. Raises ValueError at the ends of the calendar, where no offset can be taken from it."""
    if not date.min.year < day.year < date.max.year:
        raise ValueError("lies at the end of the calendar: name a year from 0002 to 9998")
    return day


def countable_schema(kind: str) -> JsonDict:
    """JSON Schema of a `date` or `date-time` that `countable` lets pass."""
    return {"type": "string", "format": kind, "pattern": "^(?!0000|0001|9999)"}


Moment = Annotated[AwareDatetime, AfterValidator(countable), WithJsonSchema(countable_schema("date-time"))]
"""A time with its offset, as a parameter of an action."""

EMPTY: Final[JsonDict] = {"enum": ["", None]}
"""JSON Schema of a text that is not there."""


def one_of(*names: str) -> list[JsonValue]:
    """JSON Schema alternatives (`anyOf`): at least one of these texts is there."""
    return [{"required": [name], "properties": {name: {"type": "string", "minLength": 1}}} for name in names]


class PagedParams(Params):
    """Parameters of an action that lists: the same two everywhere."""

    limit: int = Field(20, ge=1, le=100, description="Items on one page.")
    cursor: str | None = Field(None, description="`next_cursor` of the page before.")


def action(
    *,
    params: type[BaseModel] = NoParams,
    description: str,
    example: Mapping[str, Any] | None = None,
    writes: bool = False,
    keyed: bool = False,
    find: Callable[[Any, Call, Any], Awaitable[ActionAnswer | None]] | None = None,
    allowed_by: str = "",
) -> Callable[[ActionRun], ActionRun]:
    """Makes a method `async (self, call, params) -> ActionAnswer` an action of its provider, under its own name."""

    def mark(run: ActionRun) -> ActionRun:
        name = run.__name__
        run.action = Action(name, description, params, run, example or {}, writes, keyed, find, allowed_by)  # type: ignore[attr-defined]
        return run

    return mark


class Provider:
    """Base of all providers: identity, OAuth, and how its HTTP speaks. See docs/adding-a-provider.md."""

    id: ClassVar[str]
    title: ClassVar[str]
    available: ClassVar[bool] = True
    planned: ClassVar[Capabilities | None] = None
    """Stated capabilities of a provider that is not available yet."""
    oauth: ClassVar[OAuth2]
    connect_fields: ClassVar[tuple[ConnectField, ...]] = ()
    base: ClassVar[str] = ""
    """Base URL of the API; may hold facts, as in `https://{subdomain}.zendesk.com/api/v2`."""
    settings: ClassVar[type[ProviderSettings]] = ProviderSettings
    limits: ClassVar[tuple[Cost, ...]] = ()
    """What every call costs; the bucket name is completed by the provider account."""
    notice: ClassVar[str] = ""
    """What an administrator should know before connecting."""
    about: ClassVar[About] = About()
    actions: ClassVar[Mapping[str, Action]] = {}

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        found = [getattr(value, "action", None) for base in reversed(cls.__mro__) for value in vars(base).values()]
        cls.actions = {a.name: a for a in found if isinstance(a, Action)}

    # --- connecting -------------------------------------------------------------------------------------------------

    def host_parts(self, given: Mapping[str, Any]) -> dict[str, str]:
        """The host parts that the user named, validated. Raises InvalidInput with the field's name."""
        return {part.name: part.read(given.get(part.name)) for part in self.connect_fields}

    def trusted(self, facts: Mapping[str, str]) -> dict[str, str]:
        """The facts of a stored row, once every host part in them is again one that a user could have named.

        Addresses come from code and settings alone: whoever can write rows must not choose where tokens and our client
        secret are sent. Raises ProviderFailure.
        """
        try:
            return {**facts, **self.host_parts(facts)}
        except InvalidInput:
            raise ProviderFailure(
                f"What is stored of this connection names a host that is not {self.title}'s; nothing was sent. "
                "Disconnect and connect again.",
                sent=False,
            ) from None

    def urls(self, facts: Mapping[str, str]) -> tuple[str, str]:
        """Authorize and token URL with the host parts filled in. Raises ProviderFailure (see `trusted`)."""
        facts = self.trusted(facts)
        return self.oauth.authorize.format_map(facts), self.oauth.token.format_map(facts)

    def revocation_url(self, facts: Mapping[str, str]) -> str:
        """RFC 7009's endpoint with the host parts filled in; empty where there is none. Raises ProviderFailure."""
        return self.oauth.revoke.format_map(self.trusted(facts))

    def check_callback(self, facts: Mapping[str, str], returned: Mapping[str, str], client_secret: str) -> None:
        """Check what else the provider returned (Shopify signs it). Raises AuthorizationInvalid."""

    def issues(self, issuer: str, facts: Mapping[str, str]) -> bool:
        """Whether `issuer`, the `iss` beside a code (RFC 9207), is this provider: the host of its page or its tokens.

        No provider here publishes its issuer; one that names another host answered for somebody else.
        """
        return allowed_host(issuer, [url.split("/")[2] for url in self.urls(facts)])

    async def identify(self, http: Http) -> Identity:
        """Ask the provider who is connected."""
        raise NotImplementedError

    def read_refusal(self, status: int, body: Mapping[str, Any]) -> SupportlyError | None:
        """Read an error of the token endpoint; see `supportly.oauth.read_refusal`."""
        return read_refusal(status, body)

    async def revoke(self, http: Http, tokens: Tokens, standard: Callable[[str, str], Awaitable[None]]) -> bool:
        """Revoke a grant at the provider; `standard(token, hint)` is RFC 7009's call.

        Answers False where the provider offers no way, so that the user has to remove the app there.
        """
        if not self.oauth.revoke:
            return False
        if tokens.refresh_token:
            await standard(tokens.refresh_token, "refresh_token")
        else:
            await standard(tokens.access_token, "access_token")
        return True

    @property
    def revocable(self) -> bool:
        """True where disconnecting can end the access at the provider."""
        return bool(self.oauth.revoke) or type(self).revoke is not Provider.revoke

    # --- HTTP (`supportly.http.Policy`) -------------------------------------------------------------------------------

    def base_url(self, facts: Mapping[str, str]) -> str:
        """Base URL of the API for a connection."""
        return self.base.format_map(facts)

    def hosts(self, facts: Mapping[str, str]) -> Sequence[str]:
        """Hosts that a connection may reach; that of `base_url` alone unless a provider says more."""
        return [self.base_url(facts).split("/")[2]]

    def headers(self, access_token: str, method: str, path: str, facts: Mapping[str, str]) -> Mapping[str, str]:
        """Headers of every call."""
        return {"Authorization": f"Bearer {access_token}"}

    def costs(self, method: str, path: str, account: str) -> Sequence[Cost]:
        """What a call takes from which buckets."""
        return [Cost(f"{self.id}:{account}:{c.bucket}", c.limit, c.window_s, c.amount) for c in self.limits]

    def headroom(self, answer: Answer, account: str) -> Sequence[Headroom]:
        """What an answer's headers tell about the buckets."""
        return []

    def read_error(self, answer: Answer) -> SupportlyError | None:
        """The error that an answer is, or None. Override `error_words`, or this where success hides errors."""
        if answer.status < 300:
            return None
        body = answer.json() if answer.is_json else None
        message, code = self.error_words(body) if isinstance(body, dict) else ("", "")
        return failure(answer, message=message, code=code, wait=self.pause(answer))

    def error_words(self, body: Mapping[str, Any]) -> tuple[str, str]:
        """Message and code of an error body."""
        return str(body.get("message") or body.get("error") or ""), str(body.get("code") or "")

    def pause(self, answer: Answer) -> float | None:
        """Seconds to wait after an error where the provider has a rule of its own; None: `Retry-After` decides."""
        return None

    # --- what it can do -----------------------------------------------------------------------------------------------

    @property
    def capabilities(self) -> Capabilities:
        """What this provider can do, read off its class."""
        if self.planned is not None:
            return self.planned
        writes = isinstance(self, WritesContacts)
        updates = isinstance(self, WritesContacts) and self.updates
        return Capabilities(
            contact_lookup=isinstance(self, FindsContacts),
            contact_create=writes,
            contact_update=updates,
            activities=list(self.activity_kinds) if isinstance(self, LogsActivities) else [],
            actions=list(self.actions),
            knowledge_streams=[s.id for s in self.streams] if isinstance(self, StreamsKnowledge) else [],
        )


class FindsContacts(Provider):
    """Finds a Supportly contact's record. Each `by_…` answers candidates; only exact ones are kept."""

    async def by_id(self, call: Call, record_id: str) -> Record | None:
        """The record with this id, None when it is gone."""
        raise NotImplementedError

    async def by_email(self, call: Call, email: str) -> list[Record]:
        """Candidates with this e-mail address."""
        return []

    async def by_phone(self, call: Call, phone: str) -> list[Record]:
        """Candidates with this phone number (E.164)."""
        return []

    async def by_external_id(self, call: Call, contact_id: str) -> list[Record]:
        """Records that carry the Supportly contact's id; exact by themselves."""
        return []

    def parts(self, call: Call, record: Record) -> Mapping[str, Awaitable[Any]]:
        """What else a lookup shows of a record, fetched side by side: lists, and those of all records are joined.

        `deals` and `activities` have places of their own, others stand under `extra`.
        """
        return {}

    async def find(self, call: Call, contact: Contact, linked: str | None) -> list[Record]:
        """All records that are this contact: the linked one, else exact e-mail, else phone, else external id."""
        if linked and (record := await self.by_id(call, linked)):
            return [record]
        if contact.email:
            wanted = contact.email.strip().casefold()
            hits = await self.by_email(call, contact.email.strip())
            if exact := [r for r in hits if wanted in self.emails_of(r)]:
                return _distinct(exact)
        if phone := e164(contact.phone_number):
            hits = await self.by_phone(call, phone)
            if exact := [r for r in hits if phone in self.phones_of(r)]:
                return _distinct(exact)
        return _distinct(await self.by_external_id(call, str(contact.id)))

    def emails_of(self, record: Record) -> set[str]:
        """All addresses of a record, case-folded."""
        return {record.email.strip().casefold()} if record.email else set()

    def phones_of(self, record: Record) -> set[str]:
        """All numbers of a record in E.164."""
        return {phone} if (phone := e164(record.phone)) else set()


class WritesContacts(FindsContacts):
    """Creates and updates records. Field names are the provider's; values are texts."""

    mapping: ClassVar[Mapping[str, str]] = {}
    """Default mapping: provider field -> Supportly field (see `Contact.value`)."""
    updates: ClassVar[bool] = True
    """False where a record cannot be changed once it is there: `writable` then says so of every field."""

    def current(self, record: Record) -> Mapping[str, str | None]:
        """The record's present values by provider field."""
        raise NotImplementedError

    async def writable(
        self,
        call: Call,
        fields: dict[str, str],
        record: Record | None,
    ) -> tuple[dict[str, str], dict[str, str]]:
        """Split `fields` into those that can be written and those that can't, with the reason."""
        return fields, {}

    async def create(self, call: Call, contact: Contact, fields: Mapping[str, str]) -> Record:
        """Create a record. A retry after an unknown outcome looks with `find` first, so it need not be idempotent."""
        raise NotImplementedError

    async def update(self, call: Call, record: Record, fields: Mapping[str, str]) -> Record:
        """Write the changed `fields` of a record."""
        raise NotImplementedError

    def same(self, name: str, ours: str, theirs: str | None) -> bool:
        """True when writing `ours` over `theirs` would change nothing."""
        if theirs is None:
            return False
        if ours == theirs.strip():
            return True
        if "phone" in name:
            return e164(ours) is not None and e164(ours) == e164(theirs)
        if "email" in name:
            return ours.casefold() == theirs.strip().casefold()
        return False


class LogsActivities(FindsContacts):
    """Logs notes, calls or tasks on a contact's record."""

    activity_kinds: ClassVar[tuple[ActivityKind, ...]] = ("note", "call", "task")
    activity_needs_record: ClassVar[bool] = True
    """False where activities have a place of their own (a channel, an issue): then `log` gets a record that is only
    the contact itself, with an empty id, and the contact need not be known there."""
    activity_keyed: ClassVar[bool] = False
    """The provider takes an idempotency key, so that repeating `log` is safe."""

    async def log(self, call: Call, record: Record, job: ActivityJob) -> RecordRef:
        """Write the activity; `call.marker` goes into its body, or is its idempotency key."""
        raise NotImplementedError

    async def find_logged(self, call: Call, record: Record, job: ActivityJob) -> RecordRef | None:
        """Look for the marker by a consistent read after an unknown outcome; without such a read it stays unknown."""
        raise OutcomeUnknown(
            "The provider did not answer, and offers no way to see whether the activity was written. Look there."
        )


class StreamsKnowledge(Provider):
    """Offers documents for Captain."""

    streams: ClassVar[tuple[Stream, ...]] = ()

    async def read_stream(self, call: Call, stream: str, cursor: str | None, since: str | None) -> StreamPage:
        """One page: the first where `cursor` is None. `since` is the last checkpoint in an incremental walk.

        A record that cannot become a document goes into `failures`; a 403 or 404 on the list is raised, never empty.
        """
        raise NotImplementedError

    async def is_gone(self, call: Call, stream: str, external_id: str) -> bool | None:
        """Ask for one record by id: True when it is gone, None where the provider cannot tell."""
        return None

    def chosen(self, settings: ProviderSettings) -> list[str]:
        """The streams that are on: the chosen ones, else the defaults."""
        if settings.streams is not None:
            return [s.id for s in self.streams if s.id in settings.streams]
        return [s.id for s in self.streams if s.default]


def e164(phone: str | None) -> str | None:
    """`phone` in E.164, None when it is not a possible number with a country code.

    Two leading zeros stand for the plus; a single one is dialled within a country, which it doesn't name.
    """
    if not phone:
        return None
    text = phone.strip()
    if not text.startswith("+"):
        digits = re.sub(r"\D", "", text)
        if digits.startswith("0") and not digits.startswith("00"):
            return None
        text = f"+{text.lstrip('0')}"
    try:
        number = phonenumbers.parse(text, None)
    except phonenumbers.NumberParseException:
        return None
    if not phonenumbers.is_possible_number(number):
        return None
    return str(phonenumbers.format_number(number, phonenumbers.PhoneNumberFormat.E164))


def timestamp(value: object) -> datetime | None:
    """An ISO 8601 text, or epoch milliseconds, as an aware datetime; None when it is neither."""
    try:
        if isinstance(value, int | float) and not isinstance(value, bool):
            return datetime.fromtimestamp(value / 1000).astimezone()
        found = datetime.fromisoformat(str(value))
        return found if found.tzinfo else found.astimezone()
    except (ValueError, OverflowError, OSError):  # the last two at the ends of the calendar
        return None


def integer(found: object) -> int:
    """A number that a provider names, such as an id or a count. Raises ProviderFailure for another text."""
    if not re.fullmatch(r"[0-9]{1,19}", str(found)):
        raise ProviderFailure("The provider named a number that is none.")
    return int(str(found))


def offset(cursor: str | None) -> int:
    """The rows before a page, where an action's cursor is their number. Raises InvalidInput for another text."""
    if cursor is not None and not re.fullmatch(r"[0-9]{1,9}", cursor):
        raise InvalidInput("`cursor` is not one that this action gave.", field="params.cursor")
    return int(cursor or 0)


def next_mark(found: object, here: object) -> str | None:
    """The next page's mark (cursor, token, offset) as a text; None at the end.

    Raises ProviderFailure when it is `here`, the page that was just asked for: a walk in a circle would never end.
    """
    if found is None or found == "":
        return None
    if here is not None and str(found) == str(here):
        raise ProviderFailure(SAME_PAGE)
    return str(found)


class Place(BaseModel):
    """Where a walk over a stream stands; a provider adds its fields. As JSON it is the stream's cursor."""

    model_config = ConfigDict(frozen=True)

    def to(self, **changes: Any) -> Self:
        """The place after this page. Raises ProviderFailure when it is the same one again."""
        moved = self.model_copy(update=changes)
        if moved == self:
            raise ProviderFailure(SAME_PAGE)
        return moved


async def absent_as_none(record: Awaitable[Answer]) -> Answer | None:
    """The answer, or None where the provider says 404 to one record by its id."""
    try:
        return await record
    except NotFound:
        return None


def _distinct(records: list[Record]) -> list[Record]:
    return list({r.id: r for r in records}.values())
