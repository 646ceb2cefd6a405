"""Supportly's end of the events: takes them at `/_receiver/events`, by the Standard Webhooks scheme."""

import base64
import binascii
import hmac
from typing import ClassVar

from sandbox.double import Double, Record, Reply, Request, Routes

TOLERANCE_S = 300  # what the scheme's own libraries allow


class Receiver(Double):
    """Keeps every event once. Quirk: what is signed wrongly or long ago is 401, what came before is taken again."""

    name, title = "receiver", "Receiver of events"
    mount = "/_receiver"
    routes: ClassVar[Routes] = Routes()
    kinds: ClassVar[dict[str, str]] = {"events": "event", "refusals": "refusal"}
    defaults: ClassVar[Record] = {"secret": "whsec_" + base64.b64encode(b"sandbox-event-signing-key").decode()}

    @routes.on("POST", "/events", public=True)
    def take(self, request: Request) -> Reply:
        if why := self.wrong(request):
            self.save("refusal", {"id": self.next_id(), "why": why})
            return Reply({"error": why}, 401)
        event_id = request.headers["webhook-id"]
        known = self.records["event"].get(event_id)
        deliveries = known["deliveries"] + 1 if known else 1
        self.save("event", {**request.object, "id": event_id, "deliveries": deliveries})
        return Reply(None, 204)

    def wrong(self, request: Request) -> str:
        """Why the request is not taken; empty when it is."""
        event_id, at = request.headers.get("webhook-id", ""), request.headers.get("webhook-timestamp", "")
        if not event_id or not at.isdigit():
            return "a header is missing"
        if abs(self.clock.now() - int(at)) > TOLERANCE_S:
            return "the timestamp is too far from now"
        key = base64.b64decode(str(self.settings["secret"]).removeprefix("whsec_"))
        wanted = hmac.digest(key, f"{event_id}.{at}.".encode() + request.body, "sha256")
        for part in request.headers.get("webhook-signature", "").split():
            version, _, text = part.partition(",")
            try:
                given = base64.b64decode(text, validate=True)
            except binascii.Error:
                continue
            if version == "v1" and hmac.compare_digest(given, wanted):
                return ""
        return "no signature is right"
