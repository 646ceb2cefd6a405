"""What Zendesk answers of each kind of record, and what stands there when nothing was set.

Sources: the JSON formats of developer.zendesk.com/api-reference/ticketing, and the published description of the Support
API, which tells for each property whether it may be null.
"""

from collections.abc import Callable
from typing import Any

Record = dict[str, Any]

GROUP, BRAND, FORM, STATUS = 360060, 360001, 360080, 360070
VIA: Record = {"channel": "api", "source": {"from": {}, "to": {}, "rel": None}}

NEVER_NULL: dict[str, frozenset[str]] = {
    "user": frozenset({"email", "default_group_id", "last_login_at", "signature"}),
    "ticket": frozenset({
        "priority", "type", "assignee_id", "organization_id", "external_id", "recipient", "problem_id",
        "forum_topic_id",
    }),
}  # fmt: skip
"""Properties that the description does not let be null, although live accounts answer null in them."""


def user(record: Record) -> Record:
    """A user; end users are told from staff by their role."""
    staff = record.get("role", "end-user") != "end-user"
    return {
        "name": record.get("email") or "", "email": None, "phone": None, "shared_phone_number": None,
        "external_id": None, "role": "end-user", "role_type": None, "custom_role_id": None, "organization_id": None,
        "default_group_id": GROUP if staff else None, "active": True, "verified": False, "suspended": False,
        "shared": False, "shared_agent": False, "moderator": staff, "only_private_comments": False,
        "restricted_agent": not staff, "ticket_restriction": None if staff else "requested", "chat_only": False,
        "locale": "en-US", "locale_id": 1, "time_zone": "UTC", "iana_time_zone": "Etc/UTC", "alias": "",
        "details": "", "notes": "", "signature": "" if staff else None, "tags": [], "photo": None,
        "two_factor_auth_enabled": None, "report_csv": False, "last_login_at": None, "user_fields": {},
    }  # fmt: skip


def ticket(record: Record) -> Record:
    """A ticket."""
    return {
        "subject": "", "raw_subject": record.get("subject", ""), "description": record.get("subject", ""),
        "status": "new", "priority": None, "type": None, "requester_id": record.get("submitter_id", 0),
        "submitter_id": record.get("requester_id", 0), "assignee_id": None, "organization_id": None,
        "group_id": GROUP, "brand_id": BRAND, "ticket_form_id": FORM, "custom_status_id": STATUS, "external_id": None,
        "recipient": None, "problem_id": None, "forum_topic_id": None, "has_incidents": False, "tags": [],
        "custom_fields": [], "collaborator_ids": [], "follower_ids": [], "email_cc_ids": [], "followup_ids": [],
        "sharing_agreement_ids": [], "satisfaction_rating": {"score": "unoffered"}, "due_at": None, "is_public": True,
        "allow_channelback": False, "allow_attachments": True, "from_messaging_channel": False, "via": VIA,
    }  # fmt: skip


def comment(record: Record) -> Record:
    """A comment; one that is seeded with one kind of text has all three."""
    text = record.get("plain_body") or record.get("body") or record.get("html_body") or ""
    return {
        "type": "Comment", "author_id": record.get("author_id", 0), "body": text, "plain_body": text,
        "html_body": f'<div class="zd-comment" dir="auto"><p>{text}</p></div>', "public": True, "attachments": [],
        "audit_id": record["id"], "via": VIA, "metadata": {"system": {}, "custom": {}},
    }  # fmt: skip


def custom_field(record: Record) -> Record:
    """A field of users' profiles."""
    title = record.get("title") or str(record.get("key") or "").capitalize()
    return {
        "key": f"field_{record['id']}", "type": "text", "title": title, "raw_title": title, "description": "",
        "raw_description": "", "position": 9999, "active": True, "system": False, "regexp_for_validation": None,
    }  # fmt: skip


EXTRA: dict[str, Callable[[Record], Record]] = {
    "user": user,
    "ticket": ticket,
    "comment": comment,
    "user_field": custom_field,
    "organization": lambda _: {
        "name": "", "external_id": None, "group_id": None, "domain_names": [], "tags": [], "details": "", "notes": "",
        "shared_tickets": False, "shared_comments": False, "organization_fields": {},
    },
    "section": lambda _: {
        "locale": "en-us", "source_locale": "en-us", "category_id": 360010, "parent_section_id": None, "position": 0,
        "description": "", "outdated": False, "sorting": "manual", "theme_template": "section_page",
    },
    "category": lambda _: {
        "locale": "en-us", "source_locale": "en-us", "position": 0, "description": "", "outdated": False,
    },
    "brand": lambda _: {
        "active": True, "default": True, "has_help_center": True, "help_center_state": "enabled", "is_deleted": False,
        "host_mapping": None, "logo": None, "signature_template": "{{agent.signature}}", "ticket_form_ids": [FORM],
    },
    "macro": lambda _: {
        "active": True, "default": False, "description": None, "actions": [], "restriction": None, "position": 0,
    },
    "identity": lambda _: {
        "type": "email", "verified": False, "primary": False, "deliverable_state": "deliverable",
        "undeliverable_count": 0,
    },
}  # fmt: skip
"""Kind -> the properties beside id, address and times, of a record as it was given."""


def audit(ticket_id: int, number: int, author: int, now: str, events: list[Record]) -> Record:
    """What changed in a ticket by one request."""
    return {
        "id": number, "ticket_id": ticket_id, "created_at": now, "author_id": author, "via": VIA,
        "metadata": {"system": {}, "custom": {}}, "events": events,
    }  # fmt: skip
