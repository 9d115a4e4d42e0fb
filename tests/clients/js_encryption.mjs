// Encrypted rooms between devices of matrix-js-sdk: node js_encryption.mjs BASE_URL
//
// Alice has one device, Bob two. What one says, every device of the other has to be able to read, and the server must
// have seen ciphertext only.

import assert from "node:assert/strict";
import { events, logIn, main, register, until } from "./js_common.mjs";

const withCrypto = (client) => client.initRustCrypto({ useIndexedDB: false });

/** Waits until a device can read a text, which has to have come encrypted. */
async function reads(client, roomId, text) {
    const find = () => events(client, roomId).find((event) => event.getContent().body === text);
    await until(client, () => find() !== undefined, `${client.getDeviceId()} reads "${text}"`);
    assert.ok(find().isEncrypted(), "a message in clear text in an encrypted room");
}

main(async (baseUrl) => {
    const [aliceId, bobId] = [await register(baseUrl, "alice"), await register(baseUrl, "bob")];
    const [alice, bob, bobToo] = [
        await logIn(baseUrl, aliceId, withCrypto),
        await logIn(baseUrl, bobId, withCrypto),
        await logIn(baseUrl, bobId, withCrypto),
    ];

    const encryption = {
        type: "m.room.encryption",
        state_key: "",
        content: { algorithm: "m.megolm.v1.aes-sha2" },
    };
    const { room_id: roomId } = await alice.createRoom({ invite: [bobId], initial_state: [encryption] });
    await until(bob, () => bob.getRoom(roomId)?.getMyMembership() === "invite", "the invitation");
    await bob.joinRoom(roomId);
    for (const client of [alice, bob, bobToo]) {
        const met = () => client.getRoom(roomId)?.getMember(bobId)?.membership === "join";
        await until(client, met, "Bob's arrival");
    }

    const { event_id: eventId } = await alice.sendTextMessage(roomId, "only for Bob");
    for (const client of [bob, bobToo]) await reads(client, roomId, "only for Bob");
    await bob.sendTextMessage(roomId, "only for Alice");
    for (const client of [alice, bobToo]) await reads(client, roomId, "only for Alice");

    const stored = await alice.fetchRoomEvent(roomId, eventId);
    assert.equal(stored.type, "m.room.encrypted");
    assert.ok(!JSON.stringify(stored).includes("only for Bob"));
    for (const client of [alice, bob, bobToo]) client.stopClient();
    console.log("matrix-js-sdk: three devices read each other in an encrypted room");
});
