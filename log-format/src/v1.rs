//! Record payloads, schema version 1. Frozen once released: a change is a new type in `v2`.
//!
//! Every type is an rkyv archive without recursion and without unordered containers, so equal
//! values have equal bytes. JSON inside is kept as the exact bytes that were received or signed.
//! Strings are full Matrix identifiers with their sigil. Times are milliseconds since the epoch.
//! A record carries everything that a projector needs: projectors read no clock and make no
//! random choice.

use rkyv::{Archive, Archived, Deserialize, Serialize};

/// The archived form of a payload type.
pub type ArchivedInput<T> = Archived<T>;

macro_rules! records {
    ($($(#[$doc:meta])* pub struct $name:ident { $($(#[$field_doc:meta])* pub $field:ident: $type:ty,)* })*) => {
        $(
            $(#[$doc])*
            #[derive(Archive, Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
            #[rkyv(derive(Debug))]
            pub struct $name { $($(#[$field_doc])* pub $field: $type,)* }
        )*
    };
}

records! {
    /// The log's own: the server that writes this log. First record of every log.
    pub struct Genesis {
        /// The server name, fixed for the life of the log.
        pub server_name: String,
        /// The version of the software that created the log.
        pub software: String,
    }
    /// The log's own: offsets below `below` may have been shown to somebody.
    ///
    /// After an unclean stop the log goes on at `below` of the last lease.
    pub struct OffsetLease {
        /// The exclusive upper end of the lease.
        pub below: u64,
    }
    /// The log's own: a process began to write.
    pub struct Started {
        /// The version of the software.
        pub software: String,
        /// Whether the stop before was unclean (no [`CleanShutdown`] at the tail).
        pub after_unclean_stop: bool,
    }
    /// The log's own: the process stopped after everything was on stable storage.
    pub struct CleanShutdown {
        /// The next offset to hand out.
        pub next: u64,
    }

    /// The log's own: payloads were given up. On stable storage before the first of them is erased, and what vouches
    /// for a record that no longer has its payload. Of several for one record the last counts, but what is gone stays
    /// gone.
    pub struct Erased {
        /// Why, in the words of whoever asked for it: `redaction`, `delivered`.
        pub reason: String,
        /// The records, in the order of their offsets.
        pub records: Vec<ErasedRecord>,
    }
    /// What becomes of one record's payload.
    pub struct ErasedRecord {
        /// The record's offset.
        pub offset: u64,
        /// The digest of what takes the payload's place; none: it is gone.
        pub replacement: Option<[u8; 32]>,
    }

    /// One persistent data unit: an event of a room, in federation format.
    pub struct Pdu {
        /// The room. In room version 12 derived from the create event.
        pub room_id: String,
        /// The event ID, computed once by the writer.
        pub event_id: String,
        /// The version of the room, so that the PDU can be read without any view.
        pub room_version: String,
        /// How the event got here.
        pub source: PduSource,
        /// Exact canonical JSON, hashes and signatures included, `event_id` only in versions 1 and 2.
        pub json: Vec<u8>,
        /// For a local send: the device whose transaction this was.
        pub transaction: Option<Transaction>,
        /// Key IDs (`server ed25519:id`) whose signatures the writer has verified. Empty for a local event.
        pub verified_keys: Vec<String>,
    }
    /// The state before an event, as other servers gave it: of what comes before the event not everything is known
    /// here.
    ///
    /// Comes before the event, and after the events of the state.
    pub struct StateGiven {
        /// The room.
        pub room_id: String,
        /// The event.
        pub event_id: String,
        /// The IDs of the events that the state consists of.
        pub state: Vec<String>,
        /// The server that gave the state.
        pub server: String,
        /// Whether the room begins anew with the event, as it does for a server that joins: what was known of the
        /// room's head and current state is history.
        pub anew: bool,
    }
    /// After a rebuild with other rules, verdicts or states of rooms are not what clients were shown.
    pub struct RoomsRejudged {
        /// The rooms.
        pub room_ids: Vec<String>,
        /// The version of the rooms' view that judged anew.
        pub view_version: u32,
    }
    /// A client's transaction: its scope is (user, device, endpoint).
    pub struct Transaction {
        /// The user; for application services not necessarily the sender.
        pub user_id: String,
        /// The device.
        pub device_id: String,
        /// The transaction ID that the client chose.
        pub transaction_id: String,
    }

    /// An account came into being.
    pub struct AccountCreated {
        /// The full user ID.
        pub user_id: String,
        /// A PHC string (argon2id), or none for accounts without password.
        pub password_hash: Option<String>,
        /// Whether the account administers this server.
        pub admin: bool,
        /// Whether this is a guest.
        pub guest: bool,
        /// The registration token that was spent, if any.
        pub registration_token: Option<String>,
        /// Application service that owns the account, if any.
        pub appservice_id: Option<String>,
    }
    /// A password was set or removed.
    pub struct PasswordSet {
        /// The account.
        pub user_id: String,
        /// A PHC string, or none: no password login.
        pub password_hash: Option<String>,
    }
    /// An account was closed.
    pub struct AccountDeactivated {
        /// The account.
        pub user_id: String,
        /// Whether the user asked for erasure.
        pub erase: bool,
    }
    /// An operator-made secret with which to register.
    pub struct RegistrationTokenCreated {
        /// The token.
        pub token: String,
        /// How often it may be used; none for any number.
        pub uses_allowed: Option<u64>,
        /// From when on it is void.
        pub expires_ms: Option<u64>,
    }

    /// A login: a device with a (new) access token. An existing device keeps its keys.
    pub struct DeviceLoggedIn {
        /// The account.
        pub user_id: String,
        /// The device.
        pub device_id: String,
        /// BLAKE3 of the access token: the token itself never enters the log.
        pub access_token_digest: [u8; 32],
        /// Display name for a new device.
        pub display_name: Option<String>,
        /// From when on the token is void, if it expires.
        pub expires_ms: Option<u64>,
        /// The address that the login came from.
        pub ip: Option<String>,
    }
    /// Devices were removed with their tokens and keys: logout, deletion, deactivation.
    pub struct DevicesRemoved {
        /// The account.
        pub user_id: String,
        /// The devices.
        pub device_ids: Vec<String>,
    }
    /// A device was renamed.
    pub struct DeviceRenamed {
        /// The account.
        pub user_id: String,
        /// The device.
        pub device_id: String,
        /// The new name, or none to remove it.
        pub display_name: Option<String>,
    }

    /// A profile field was set (`displayname`, `avatar_url`, or any other).
    pub struct ProfileFieldSet {
        /// The account.
        pub user_id: String,
        /// The field.
        pub key: String,
        /// JSON of the value, or none to remove the field.
        pub value: Option<Vec<u8>>,
    }
    /// Account data was set, global or of a room. Tags and push rules are account data too.
    pub struct AccountDataSet {
        /// The account.
        pub user_id: String,
        /// The room, or none for global account data.
        pub room_id: Option<String>,
        /// The event type.
        pub event_type: String,
        /// JSON of the content; `{}` may mean deletion.
        pub content: Vec<u8>,
    }
    /// A filter was stored.
    pub struct FilterCreated {
        /// The account.
        pub user_id: String,
        /// The ID under which the client names it.
        pub filter_id: String,
        /// The filter's JSON.
        pub filter: Vec<u8>,
    }

    /// Device keys, one-time keys and fallback keys were uploaded.
    pub struct DeviceKeysUploaded {
        /// The account.
        pub user_id: String,
        /// The device.
        pub device_id: String,
        /// JSON of the device keys object, if it is part of the upload.
        pub device_keys: Option<Vec<u8>>,
        /// (`algorithm:id`, JSON of the key), in the order of their key IDs.
        pub one_time_keys: Vec<NamedJson>,
        /// (`algorithm:id`, JSON of the key), in the order of their key IDs.
        pub fallback_keys: Vec<NamedJson>,
    }
    /// A name with a JSON value.
    pub struct NamedJson {
        /// The name.
        pub name: String,
        /// The value's JSON.
        pub json: Vec<u8>,
    }
    /// One-time or fallback keys were handed out. Which keys is decided by the writer.
    pub struct KeysClaimed {
        /// The keys that were given away.
        pub claims: Vec<KeyClaim>,
    }
    /// One key that was handed out.
    pub struct KeyClaim {
        /// The owner of the device.
        pub user_id: String,
        /// The device.
        pub device_id: String,
        /// `algorithm:id`.
        pub key_id: String,
        /// Whether it is the fallback key (kept, marked used) or a one-time key (removed).
        pub fallback: bool,
    }
    /// Cross-signing keys were uploaded.
    pub struct CrossSigningKeysUploaded {
        /// The account.
        pub user_id: String,
        /// JSON of the master key, if part of the upload.
        pub master_key: Option<Vec<u8>>,
        /// JSON of the self-signing key, if part of the upload.
        pub self_signing_key: Option<Vec<u8>>,
        /// JSON of the user-signing key, if part of the upload.
        pub user_signing_key: Option<Vec<u8>>,
    }
    /// Signatures were added to device keys or cross-signing keys.
    pub struct KeySignaturesUploaded {
        /// Who uploaded.
        pub user_id: String,
        /// The signed objects: only their new signatures count.
        pub signed: Vec<SignedKey>,
    }
    /// One key object with new signatures.
    pub struct SignedKey {
        /// The owner of the signed key.
        pub user_id: String,
        /// Device ID, or unpadded base64 of a cross-signing public key.
        pub key_id: String,
        /// JSON of the signed object.
        pub json: Vec<u8>,
    }

    /// Messages from one device to others, in the order in which they are delivered.
    pub struct ToDeviceSent {
        /// The sender.
        pub sender: String,
        /// The event type.
        pub event_type: String,
        /// The messages; `*` was expanded by the writer.
        pub messages: Vec<ToDeviceMessage>,
        /// For a local send: the device whose transaction this was.
        pub transaction: Option<Transaction>,
    }
    /// One to-device message.
    pub struct ToDeviceMessage {
        /// The receiver.
        pub user_id: String,
        /// The receiving device.
        pub device_id: String,
        /// JSON of the content.
        pub content: Vec<u8>,
    }
    /// A device has acknowledged its to-device messages up to an offset, by using a later token.
    pub struct ToDeviceDelivered {
        /// The account.
        pub user_id: String,
        /// The device.
        pub device_id: String,
        /// Everything at or below has been received.
        pub through: u64,
    }

    /// A user forgot a room that they had left.
    pub struct RoomForgotten {
        /// The account.
        pub user_id: String,
        /// The room.
        pub room_id: String,
    }
    /// A local alias was created or removed.
    pub struct RoomAliasSet {
        /// The alias.
        pub alias: String,
        /// The room, or none to remove the alias.
        pub room_id: Option<String>,
        /// Who did it.
        pub user_id: String,
    }
    /// A room was published in the room directory, or taken from it.
    pub struct RoomPublished {
        /// The room.
        pub room_id: String,
        /// Whether it is listed.
        pub published: bool,
    }

    /// A read receipt.
    pub struct ReceiptSent {
        /// The room.
        pub room_id: String,
        /// Who read.
        pub user_id: String,
        /// `m.read` or `m.read.private`.
        pub receipt_type: String,
        /// The event that was read.
        pub event_id: String,
        /// The thread (`main` or a root event ID), or none for an unthreaded receipt.
        pub thread_id: Option<String>,
        /// When.
        pub at_ms: u64,
    }
    /// Ephemeral lane: somebody began or ceased to type.
    pub struct TypingSet {
        /// The room.
        pub room_id: String,
        /// Who.
        pub user_id: String,
        /// Until when they count as typing; none for "no longer".
        pub until_ms: Option<u64>,
    }
    /// Ephemeral lane: somebody's presence.
    pub struct PresenceSet {
        /// Who.
        pub user_id: String,
        /// `online`, `unavailable` or `offline`.
        pub presence: String,
        /// Status message.
        pub status_msg: Option<String>,
        /// When they were last active.
        pub last_active_ms: u64,
        /// Whether they are active now.
        pub currently_active: bool,
    }
    /// Something outside has been done: what was due for a target, up to and including an entry of its list.
    pub struct EffectDelivered {
        /// The effect: `federation`, `push`.
        pub effect: String,
        /// For whom, as the effect names them: a server, a pusher.
        pub target: String,
        /// The offset of the record by which the last entry was listed.
        pub since: u64,
        /// Which of that record's entries for the target it was.
        pub item: u64,
    }
}

/// How a PDU got into the log.
#[derive(Archive, Serialize, Deserialize, Clone, Copy, Debug, PartialEq, Eq)]
#[rkyv(derive(Debug))]
#[repr(u8)]
pub enum PduSource {
    /// Made and signed by this server.
    Local,
    /// Pushed by its origin or fetched to fill a gap: takes part in the live order.
    Federation,
    /// Older than the live order: fetched to extend history backwards.
    Backfill,
    /// Known only as an auth event or as part of fetched state.
    Outlier,
}
