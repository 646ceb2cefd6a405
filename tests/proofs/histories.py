"""What Temporal holds of an account, opened with the key."""

from supportly import temporal
from supportly.cli.histories import payloads
from tests.proofs.conftest import House


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
