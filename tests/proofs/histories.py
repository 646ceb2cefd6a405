"""What Temporal holds of an account, opened with the key."""

from collections.abc import Iterator

from google.protobuf.message import Message
from temporalio.api.common.v1 import Payload

from supportly import temporal
from tests.proofs.conftest import House


def payloads(message: Message) -> Iterator[Payload]:
    """All payloads inside a protobuf message, however deep."""
    if isinstance(message, Payload):
        yield message
        return
    for field, value in message.ListFields():
        if field.message_type is None:
            continue
        if field.message_type.GetOptions().map_entry:
            items = [one for one in value.values() if isinstance(one, Message)]
        else:
            items = value if field.is_repeated else [value]
        for one in items:
            yield from payloads(one)


async def decrypted(house: House, account_id: int) -> tuple[str, int, set[str]]:
    """The histories of an account in the clear, how many there are, and what in them was never encrypted."""
    client = await temporal.connect(house.settings)
    codec = client.data_converter.payload_codec
    texts: list[str] = []
    plain_ones: set[str] = set()
    workflows = [run async for run in client.list_workflows(f'SupportlyAccount = "{account_id}"')]
    for run in workflows:
        history = await client.get_workflow_handle(run.id, run_id=run.run_id).fetch_history()
        for event in history.events:
            texts.append(str(event))
            for payload in payloads(event):
                if payload.metadata["encoding"] != temporal.ENCODING:
                    plain_ones.add(payload.data.decode())
                texts += [plain.data.decode("utf-8", "replace") for plain in await codec.decode([payload])]
    return "\n".join(texts), len(workflows), plain_ones
