"""Encrypted rooms between devices of matrix-nio: python nio_encryption.py BASE_URL

Alice has one device, Bob two. What one says, every device of the other has to be able to read, and the server must
have seen ciphertext only.
"""

import asyncio
import sys
import tempfile
import uuid

import nio
from nio import AsyncClient, AsyncClientConfig

from nio_conversation import PASSWORD, succeeded

DEADLINE_SECONDS = 120


class Device:
    """A device that syncs in the background and notes what it could read."""

    def __init__(self, base_url, user, store):
        config = AsyncClientConfig(store_sync_tokens=True, encryption_enabled=True)
        self.client = AsyncClient(base_url, user, store_path=store, config=config)
        self.read = asyncio.Queue()
        self.changed = asyncio.Condition()
        self.client.add_event_callback(self.note, (nio.RoomMessageText, nio.MegolmEvent))
        self.client.add_response_callback(self.notify, nio.SyncResponse)

    async def start(self):
        succeeded(await self.client.login(PASSWORD))
        self.task = asyncio.create_task(self.client.sync_forever(timeout=10_000, full_state=True))
        await self.client.synced.wait()

    async def note(self, room, event):
        await self.read.put(event)

    async def notify(self, response):
        async with self.changed:
            self.changed.notify_all()

    async def until(self, condition):
        async with self.changed:
            await self.changed.wait_for(condition)

    async def say(self, room_id, text):
        content = {"msgtype": "m.text", "body": text}
        sent = self.client.room_send(room_id, "m.room.message", content, ignore_unverified_devices=True)
        return succeeded(await sent).event_id

    async def expect(self, text):
        while True:
            event = await self.read.get()
            assert isinstance(event, nio.RoomMessageText), f"{self.client.device_id} cannot read {event}"
            assert event.decrypted, "a message in clear text in an encrypted room"
            if event.body == text:
                return

    async def stop(self):
        self.task.cancel()
        await asyncio.gather(self.task, return_exceptions=True)
        await self.client.close()


async def register(base_url, name):
    client = AsyncClient(base_url, name)
    registered = succeeded(await client.register(name, PASSWORD))
    succeeded(await client.logout())
    await client.close()
    return registered.user_id


async def converse(base_url, folder):
    names = [f"{name}-{uuid.uuid4().hex[:8]}" for name in ("alice", "bob")]
    alice_id, bob_id = [await register(base_url, name) for name in names]
    alice, bob, bob_too = [Device(base_url, user, folder) for user in (alice_id, bob_id, bob_id)]
    for device in (alice, bob, bob_too):
        await device.start()

    encryption = {"type": "m.room.encryption", "state_key": "", "content": {"algorithm": "m.megolm.v1.aes-sha2"}}
    created = await alice.client.room_create(invite=[bob_id], initial_state=[encryption])
    room_id = succeeded(created).room_id
    await bob.until(lambda: room_id in bob.client.invited_rooms)
    succeeded(await bob.client.join(room_id))
    for device in (bob, bob_too):
        await device.until(lambda: room_id in device.client.rooms and device.client.rooms[room_id].encrypted)
    await alice.until(lambda: bob_id in alice.client.rooms[room_id].users)
    await alice.until(lambda: len(list(alice.client.device_store.active_user_devices(bob_id))) == 2)

    event_id = await alice.say(room_id, "only for Bob")
    for device in (bob, bob_too):
        await device.expect("only for Bob")
    await bob.until(lambda: list(bob.client.device_store.active_user_devices(alice_id)))
    await bob.say(room_id, "only for Alice")
    await alice.expect("only for Alice")

    # A client without keys sees what the server has.
    blind = AsyncClient(base_url, bob_id)
    succeeded(await blind.login(PASSWORD))
    stored = succeeded(await blind.room_get_event(room_id, event_id)).event
    assert stored.source["type"] == "m.room.encrypted", stored
    assert "only for Bob" not in str(stored.source), stored
    await blind.close()
    for device in (alice, bob, bob_too):
        await device.stop()
    print("matrix-nio: three devices read each other in an encrypted room")


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as store_folder:
        asyncio.run(asyncio.wait_for(converse(sys.argv[1], store_folder), DEADLINE_SECONDS))
