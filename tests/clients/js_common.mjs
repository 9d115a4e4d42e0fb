// What both scripts of matrix-js-sdk need: registering, logging in, syncing, waiting.

import { randomUUID } from "node:crypto";
import * as sdk from "matrix-js-sdk";
import { logger } from "matrix-js-sdk/lib/logger.js";

logger.setLevel("error");
// The WebAssembly part logs past the logger.
console.debug = console.info = console.warn = () => {};

export const PASSWORD = "correct horse battery staple";

/** Registers a new user on a device that is logged out again; the user ID. */
export async function register(baseUrl, name) {
    const username = `${name}-${randomUUID().slice(0, 8)}`;
    const client = sdk.createClient({ baseUrl });
    const auth = { type: "m.login.dummy" };
    const account = await client.registerRequest({ username, password: PASSWORD, auth });
    const device = sdk.createClient({ baseUrl, accessToken: account.access_token, userId: account.user_id });
    await device.logout(true);
    return account.user_id;
}

/** Logs in on a new device; `prepare` runs before the first sync. */
export async function logIn(baseUrl, userId, prepare = async () => {}) {
    const visitor = sdk.createClient({ baseUrl });
    const identifier = { type: "m.id.user", user: userId };
    const login = await visitor.loginRequest({ type: "m.login.password", identifier, password: PASSWORD });
    const client = sdk.createClient({
        baseUrl,
        userId: login.user_id,
        deviceId: login.device_id,
        accessToken: login.access_token,
    });
    await prepare(client);
    // A limit that no stretch of the conversation exceeds, and own messages in the place where the server put them.
    await client.startClient({ initialSyncLimit: 5000, pendingEventOrdering: "detached" });
    await until(client, () => client.isInitialSyncComplete(), "the first sync");
    return client;
}

/** Waits for a sync after which the condition holds. */
export async function until(client, condition, what, seconds = 60) {
    if (condition()) return;
    await new Promise((resolve, reject) => {
        const events = [sdk.ClientEvent.Sync, sdk.MatrixEventEvent.Decrypted];
        const finish = (settle, value) => {
            clearTimeout(timer);
            events.forEach((event) => client.off(event, look));
            settle(value);
        };
        const look = () => condition() && finish(resolve);
        const timer = setTimeout(() => finish(reject, new Error(`${what}: not within ${seconds} s`)), seconds * 1000);
        events.forEach((event) => client.on(event, look));
    });
}

/** The events of a room that have arrived, oldest first. */
export function events(client, roomId) {
    return client.getRoom(roomId)?.getLiveTimeline().getEvents() ?? [];
}

/** Runs a script and ends the process, whatever timers the library has left behind. */
export function main(script) {
    script(process.argv[2]).then(
        () => process.exit(0),
        (error) => {
            console.error(error);
            process.exit(1);
        },
    );
}
