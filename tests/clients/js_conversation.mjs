// Two users of matrix-js-sdk talk: node js_conversation.mjs BASE_URL
//
// They register, log in, meet in a room, exchange a thousand messages, redact one, and part; both have to see the same
// timeline. Ends with an error at the first thing that is not as it should be.

import assert from "node:assert/strict";
import { events, logIn, main, register, until } from "./js_common.mjs";

const MESSAGES = Number(process.env.MESSAGES ?? 1000);

const texts = (client, roomId) =>
    events(client, roomId)
        .filter((event) => event.getType() === "m.room.message")
        .map((event) => event.getContent().body);

/** Fetches what is older than the first sync, then the IDs of all events. */
async function wholeTimeline(client, roomId) {
    const room = client.getRoom(roomId);
    while (room.oldState.paginationToken !== null) await client.scrollback(room, 100);
    return events(client, roomId).map((event) => event.getId());
}

main(async (baseUrl) => {
    const [aliceId, bobId] = [await register(baseUrl, "alice"), await register(baseUrl, "bob")];
    const [alice, bob] = [await logIn(baseUrl, aliceId), await logIn(baseUrl, bobId)];

    const { room_id: roomId } = await alice.createRoom({ name: "A conversation", topic: "Many words", invite: [bobId] });
    await until(bob, () => bob.getRoom(roomId)?.getMyMembership() === "invite", "the invitation");
    await bob.joinRoom(roomId);
    const bobIs = (client, membership) => client.getRoom(roomId)?.getMember(bobId)?.membership === membership;
    for (const client of [alice, bob]) await until(client, () => bobIs(client, "join"), "Bob's arrival");
    assert.equal(bob.getRoom(roomId).name, "A conversation");

    const said = Array.from({ length: MESSAGES }, (_, number) => `message ${number}`);
    const eventIds = [];
    for (const [number, text] of said.entries()) {
        const sent = await [alice, bob][number % 2].sendTextMessage(roomId, text);
        eventIds.push(sent.event_id);
    }
    for (const client of [alice, bob]) {
        await until(client, () => texts(client, roomId).length >= MESSAGES, "all messages", 120);
        assert.deepEqual(texts(client, roomId), said, `${client.getUserId()} heard something else, or in another order`);
    }

    await alice.redactEvent(roomId, eventIds[6], undefined, { reason: "on second thoughts" });
    const isRedacted = (client) => events(client, roomId).find((event) => event.getId() === eventIds[6]).isRedacted();
    for (const client of [alice, bob]) await until(client, () => isRedacted(client), "the redaction");
    const timelines = [await wholeTimeline(alice, roomId), await wholeTimeline(bob, roomId)];
    assert.deepEqual(timelines[0], timelines[1], "the two do not see the same timeline");

    await bob.leave(roomId);
    await until(alice, () => bobIs(alice, "leave"), "Bob's departure");
    await bob.forget(roomId);
    for (const client of [alice, bob]) {
        client.stopClient();
        await client.logout();
    }
    console.log(`matrix-js-sdk: ${MESSAGES} messages, one timeline of ${timelines[0].length} events`);
});
