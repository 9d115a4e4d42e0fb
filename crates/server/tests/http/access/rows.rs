//! The rows: how each operation is asked, in the same words by everybody.

/// One operation.
pub(crate) struct Row {
    pub(crate) id: &'static str,
    /// The path, with placeholders as [`super::people::People::fill`] knows them.
    pub(crate) path: &'static str,
    /// The body.
    pub(crate) body: &'static str,
    /// Whether it is the room itself that it tells of or changes, and not what the caller keeps about it.
    pub(crate) about_the_room: bool,
}

const fn row(id: &'static str, path: &'static str, body: &'static str) -> Row {
    Row { id, path, body, about_the_room: false }
}

const fn room(id: &'static str, path: &'static str, body: &'static str) -> Row {
    Row { id, path, body, about_the_room: true }
}

const MESSAGE: &str = r#"{"msgtype":"m.text","body":"x"}"#;
const NAME: &str = r#"{"name":"x"}"#;
const RULE: &str = r#"{"actions":["notify"]}"#;

pub(crate) const ROWS: &[Row] = &[
    row("getWellknown", "/.well-known/matrix/client", ""),
    row("getVersions", "/_matrix/client/versions", ""),
    row("getCapabilities", "/_matrix/client/v3/capabilities", ""),
    row("getLoginFlows", "/_matrix/client/v3/login", ""),
    row("login", "/_matrix/client/v3/login", r#"{"type":"m.login.password","user":"{me}","password":"wrong"}"#),
    row("logout", "/_matrix/client/v3/logout", ""),
    row("logout_all", "/_matrix/client/v3/logout/all", ""),
    row("register", "/_matrix/client/v3/register", r#"{"username":"new{number}","password":"secret"}"#),
    row("checkUsernameAvailability", "/_matrix/client/v3/register/available?username=free{number}", ""),
    row("registrationTokenValidity", "/_matrix/client/v1/register/m.login.registration_token/validity?token=x", ""),
    row("getRegistrationNonce", "/_synapse/admin/v1/register", ""),
    row(
        "registerBySharedSecret",
        "/_synapse/admin/v1/register",
        r#"{"nonce":"x","username":"u","password":"p","mac":"00"}"#,
    ),
    row("getTokenOwner", "/_matrix/client/v3/account/whoami", ""),
    row("changePassword", "/_matrix/client/v3/account/password", r#"{"new_password":"x"}"#),
    row("deactivateAccount", "/_matrix/client/v3/account/deactivate", "{}"),
    row("getDevices", "/_matrix/client/v3/devices", ""),
    row("getDevice", "/_matrix/client/v3/devices/{my device}", ""),
    row("updateDevice", "/_matrix/client/v3/devices/{my device}", r#"{"display_name":"x"}"#),
    row("deleteDevice", "/_matrix/client/v3/devices/{my device}", "{}"),
    row("deleteDevices", "/_matrix/client/v3/delete_devices", r#"{"devices":["{my device}"]}"#),
    row("getUserProfile", "/_matrix/client/v3/profile/{me}", ""),
    row("getProfileField", "/_matrix/client/v3/profile/{me}/avatar_url", ""),
    row("setProfileField", "/_matrix/client/v3/profile/{me}/displayname", r#"{"displayname":"x"}"#),
    row("deleteProfileField", "/_matrix/client/v3/profile/{me}/displayname", ""),
    row("defineFilter", "/_matrix/client/v3/user/{me}/filter", "{}"),
    row("getFilter", "/_matrix/client/v3/user/{me}/filter/{my filter}", ""),
    row("getAccountData", "/_matrix/client/v3/user/{me}/account_data/m.push_rules", ""),
    row("setAccountData", "/_matrix/client/v3/user/{me}/account_data/org.x", "{}"),
    row("getAccountDataPerRoom", "/_matrix/client/v3/user/{me}/rooms/{room}/account_data/org.x", ""),
    row("setAccountDataPerRoom", "/_matrix/client/v3/user/{me}/rooms/{room}/account_data/org.x", "{}"),
    row("getRoomTags", "/_matrix/client/v3/user/{me}/rooms/{room}/tags", ""),
    row("setRoomTag", "/_matrix/client/v3/user/{me}/rooms/{room}/tags/u.x", "{}"),
    row("deleteRoomTag", "/_matrix/client/v3/user/{me}/rooms/{room}/tags/u.x", ""),
    row("getPushRules", "/_matrix/client/v3/pushrules/", ""),
    row("getPushRulesGlobal", "/_matrix/client/v3/pushrules/global/", ""),
    row("getPushRulesOfKind", "/_matrix/client/v3/pushrules/global/room", ""),
    row("getPushRule", "/_matrix/client/v3/pushrules/global/override/.m.rule.master", ""),
    row("setPushRule", "/_matrix/client/v3/pushrules/global/room/{room}", RULE),
    row("deletePushRule", "/_matrix/client/v3/pushrules/global/room/{room}", ""),
    row("getPushRuleActions", "/_matrix/client/v3/pushrules/global/override/.m.rule.master/actions", ""),
    row("setPushRuleActions", "/_matrix/client/v3/pushrules/global/override/.m.rule.master/actions", RULE),
    row("isPushRuleEnabled", "/_matrix/client/v3/pushrules/global/override/.m.rule.master/enabled", ""),
    row(
        "setPushRuleEnabled",
        "/_matrix/client/v3/pushrules/global/override/.m.rule.master/enabled",
        r#"{"enabled":false}"#,
    ),
    row("uploadKeys", "/_matrix/client/v3/keys/upload", "{}"),
    row("queryKeys", "/_matrix/client/v3/keys/query", r#"{"device_keys":{"{stranger}":[]}}"#),
    row("claimKeys", "/_matrix/client/v3/keys/claim", r#"{"one_time_keys":{}}"#),
    row("getKeysChanges", "/_matrix/client/v3/keys/changes?from=s0&to=s0", ""),
    row("uploadCrossSigningKeys", "/_matrix/client/v3/keys/device_signing/upload", "{}"),
    row("uploadCrossSigningSignatures", "/_matrix/client/v3/keys/signatures/upload", "{}"),
    row("sendToDevice", "/_matrix/client/v3/sendToDevice/org.x/1", r#"{"messages":{}}"#),
    row("getPresence", "/_matrix/client/v3/presence/{member}/status", ""),
    row("setPresence", "/_matrix/client/v3/presence/{me}/status", r#"{"presence":"online"}"#),
    room("setTyping", "/_matrix/client/v3/rooms/{room}/typing/{me}", r#"{"typing":false}"#),
    room("postReceipt", "/_matrix/client/v3/rooms/{room}/receipt/m.read/{event}", "{}"),
    room("setReadMarker", "/_matrix/client/v3/rooms/{room}/read_markers", r#"{"m.read":"{event}"}"#),
    row("createRoom", "/_matrix/client/v3/createRoom", "{}"),
    row("joinRoom", "/_matrix/client/v3/join/{alias}", "{}"),
    room("joinRoomById", "/_matrix/client/v3/rooms/{room}/join", "{}"),
    room("knockRoom", "/_matrix/client/v3/knock/{room}", "{}"),
    room("leaveRoom", "/_matrix/client/v3/rooms/{room}/leave", "{}"),
    room("forgetRoom", "/_matrix/client/v3/rooms/{room}/forget", "{}"),
    room("upgradeRoom", "/_matrix/client/v3/rooms/{room}/upgrade", r#"{"new_version":"11"}"#),
    room("inviteUser", "/_matrix/client/v3/rooms/{room}/invite", r#"{"user_id":"{stranger}"}"#),
    room("kick", "/_matrix/client/v3/rooms/{room}/kick", r#"{"user_id":"{member}"}"#),
    room("ban", "/_matrix/client/v3/rooms/{room}/ban", r#"{"user_id":"{stranger}"}"#),
    room("unban", "/_matrix/client/v3/rooms/{room}/unban", r#"{"user_id":"{banned}"}"#),
    room("sendMessage", "/_matrix/client/v3/rooms/{room}/send/m.room.message/1", MESSAGE),
    room("sendMessageOnce", "/_matrix/client/v3/rooms/{room}/send/m.room.message", MESSAGE),
    room("redactEvent", "/_matrix/client/v3/rooms/{room}/redact/{event}/1", "{}"),
    room("setRoomStateWithKey", "/_matrix/client/v3/rooms/{room}/state/org.x/key", NAME),
    room("setRoomState", "/_matrix/client/v3/rooms/{room}/state/m.room.name", NAME),
    room("getRoomState", "/_matrix/client/v3/rooms/{room}/state", ""),
    room("getRoomStateWithKey", "/_matrix/client/v3/rooms/{room}/state/m.room.member/{member}", ""),
    room("getRoomStateWithoutKey", "/_matrix/client/v3/rooms/{room}/state/m.room.join_rules", ""),
    room("getOneRoomEvent", "/_matrix/client/v3/rooms/{room}/event/{event}", ""),
    room("getMembersByRoom", "/_matrix/client/v3/rooms/{room}/members", ""),
    room("getJoinedMembersByRoom", "/_matrix/client/v3/rooms/{room}/joined_members", ""),
    row("getJoinedRooms", "/_matrix/client/v3/joined_rooms", ""),
    row("getPublicRooms", "/_matrix/client/v3/publicRooms", ""),
    row("queryPublicRooms", "/_matrix/client/v3/publicRooms", "{}"),
    room("getLocalAliases", "/_matrix/client/v3/rooms/{room}/aliases", ""),
    row("getRoomIdByAlias", "/_matrix/client/v3/directory/room/{alias}", ""),
    row("setRoomAlias", "/_matrix/client/v3/directory/room/%23other{number}:localhost", r#"{"room_id":"{room}"}"#),
    row("deleteRoomAlias", "/_matrix/client/v3/directory/room/{alias}", ""),
    room("getRoomVisibilityOnDirectory", "/_matrix/client/v3/directory/list/room/{room}", ""),
    room(
        "setRoomVisibilityOnDirectory",
        "/_matrix/client/v3/directory/list/room/{room}",
        r#"{"visibility":"private"}"#,
    ),
    row("sync", "/_matrix/client/v3/sync", ""),
    row("getEvents", "/_matrix/client/v3/events?timeout=0&room_id={room}", ""),
    row("getOneEvent", "/_matrix/client/v3/events/{event}", ""),
    row("initialSync", "/_matrix/client/v3/initialSync", ""),
    room("roomInitialSync", "/_matrix/client/v3/rooms/{room}/initialSync", ""),
    room("getRoomEvents", "/_matrix/client/v3/rooms/{room}/messages?dir=b", ""),
    room("getEventContext", "/_matrix/client/v3/rooms/{room}/context/{event}", ""),
    room("getEventByTimestamp", "/_matrix/client/v1/rooms/{room}/timestamp_to_event?ts=0&dir=f", ""),
];
