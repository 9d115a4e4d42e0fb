"""Two users of matrix-nio talk: python nio_conversation.py BASE_URL

They register, log in, meet in a room, exchange a thousand messages, redact one, and part; both have to see the same
timeline. Ends with an error at the first thing that is not as it should be.
"""

import asyncio
import sys
import uuid

import nio
from nio import AsyncClient

MESSAGES = 1000
DEADLINE_SECONDS = 240
PASSWORD = "correct horse battery staple"
# A limit that no stretch of the conversation exceeds: every message arrives by sync, without gaps.
FILTER = {"room": {"timeline": {"limit": 2 * MESSAGES}}}


def succeeded(response):
    assert not isinstance(response, nio.ErrorResponse), response
    return response


class Person:
    """A client whose sync loop runs in the background and notes what arrives."""

    def __init__(self, base_url, name):
        self.client = AsyncClient(base_url, f"{name}-{uuid.uuid4().hex[:8]}")
        self.heard = []
        self.left = set()
        self.changed = asyncio.Condition()
        self.client.add_event_callback(self.hear, nio.RoomMessageText)
        self.client.add_response_callback(self.notify, nio.SyncResponse)

    async def arrive(self):
        """Registers, logs out of that device, and logs in as clients do."""
        succeeded(await self.client.register(self.client.user, PASSWORD, device_name="first"))
        self.client.user = self.client.user_id
        succeeded(await self.client.logout())
        succeeded(await self.client.login(PASSWORD, device_name="second"))
        succeeded(await self.client.sync(full_state=True, sync_filter=FILTER))
        self.task = asyncio.create_task(self.client.sync_forever(timeout=10_000, sync_filter=FILTER))

    async def hear(self, room, event):
        self.heard.append(event.body)

    async def notify(self, response):
        self.left.update(response.rooms.leave)
        async with self.changed:
            self.changed.notify_all()

    async def until(self, condition):
        """Waits for a sync after which the condition holds."""
        async with self.changed:
            await self.changed.wait_for(condition)

    async def say(self, room_id, text):
        content = {"msgtype": "m.text", "body": text}
        return succeeded(await self.client.room_send(room_id, "m.room.message", content)).event_id

    async def timeline(self, room_id):
        """The whole history by pagination, oldest first."""
        events, start = [], None
        while True:
            page = succeeded(await self.client.room_messages(room_id, start=start, limit=100))
            events += page.chunk
            start = page.end
            if not page.chunk or not start:
                return events[::-1]

    async def depart(self):
        self.task.cancel()
        await asyncio.gather(self.task, return_exceptions=True)
        succeeded(await self.client.logout())
        await self.client.close()


async def converse(base_url):
    alice, bob = Person(base_url, "alice"), Person(base_url, "bob")
    for person in (alice, bob):
        await person.arrive()

    created = await alice.client.room_create(name="A conversation", topic="Many words", invite=[bob.client.user_id])
    room_id = succeeded(created).room_id
    await bob.until(lambda: room_id in bob.client.invited_rooms)
    succeeded(await bob.client.join(room_id))
    await alice.until(lambda: bob.client.user_id in alice.client.rooms[room_id].users)
    await bob.until(lambda: room_id in bob.client.rooms)
    assert bob.client.rooms[room_id].name == "A conversation", bob.client.rooms[room_id].name

    said = [f"message {number}" for number in range(MESSAGES)]
    event_ids = [await (alice, bob)[number % 2].say(room_id, text) for number, text in enumerate(said)]
    for person in (alice, bob):
        await person.until(lambda: len(person.heard) >= MESSAGES)
        assert person.heard == said, f"{person.client.user_id} heard something else, or in another order"

    succeeded(await alice.client.room_redact(room_id, event_ids[6], reason="on second thoughts"))
    timelines = [await person.timeline(room_id) for person in (alice, bob)]
    ids = [[event.event_id for event in timeline] for timeline in timelines]
    assert ids[0] == ids[1], "the two do not see the same timeline"
    assert [event_id for event_id in ids[0] if event_id in set(event_ids)] == event_ids, "history has another order"
    redacted = next(event for event in timelines[1] if event.event_id == event_ids[6])
    assert isinstance(redacted, nio.RedactedEvent), redacted

    succeeded(await bob.client.room_leave(room_id))
    await alice.until(lambda: bob.client.user_id not in alice.client.rooms[room_id].users)
    await bob.until(lambda: room_id in bob.left)
    succeeded(await bob.client.room_forget(room_id))
    for person in (alice, bob):
        await person.depart()
    print(f"matrix-nio: {MESSAGES} messages, one timeline of {len(ids[0])} events")


if __name__ == "__main__":
    asyncio.run(asyncio.wait_for(converse(sys.argv[1]), DEADLINE_SECONDS))
