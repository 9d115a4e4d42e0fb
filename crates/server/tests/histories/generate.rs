//! Random histories: what people, their devices and other servers might do, as records.
//!
//! The same seed gives the same history on every machine. Writers are not asked: some records name what is not there,
//! and some events are forbidden, as a log may hold them too.

use engram_log::{Input, Lane, Log, TimestampMs};
use engram_log_format::v1;
use engram_matrix::auth::auth_types;
use engram_matrix::build::{Draft, Position, build};
use engram_matrix::keys::SigningKey;
use engram_matrix::room_version::RoomVersion;
use engram_views::testing::MemoryLog;

const SERVERS: [&str; 3] = ["one.test", "two.test", "three.test"];
const USERS: usize = 6;
const DEVICES: usize = 3;
const VERSIONS: [&str; 4] = ["6", "10", "11", "12"];

/// Numbers from a seed (splitmix64).
pub(crate) struct Random(pub(crate) u64);

impl Random {
    pub(crate) fn number(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    pub(crate) fn below(&mut self, end: usize) -> usize {
        (self.number() % end as u64) as usize
    }

    pub(crate) fn pick<T: Copy>(&mut self, choices: &[T]) -> T {
        choices[self.below(choices.len())]
    }

    fn one_in(&mut self, count: usize) -> bool {
        self.below(count) == 0
    }
}

/// What is appended at once.
pub(crate) struct Append {
    pub(crate) lane: Lane,
    pub(crate) inputs: Vec<Input>,
    pub(crate) at: TimestampMs,
}

impl Append {
    /// Puts it at the end of a log.
    pub(crate) fn to(&self, log: &dyn Log) -> engram_log::Offset {
        log.append(self.lane, &self.inputs, self.at).expect("the log takes it").last
    }
}

/// A history of about so many records.
pub(crate) fn history(seed: u64, records: usize) -> Vec<Append> {
    let mut maker = Maker {
        random: Random(seed),
        key: SigningKey::from_seed("ed25519:1", [7; 32]).expect("a valid key ID"),
        rooms: Vec::new(),
        appends: Vec::new(),
        now: 1_700_000_000_000,
        made: 0,
        seed,
    };
    for user in 0..USERS {
        maker.account(user);
    }
    maker.room();
    while maker.made < records {
        maker.anything();
    }
    maker.appends
}

/// The history as a log.
pub(crate) fn log_of(history: &[Append]) -> MemoryLog {
    let log = MemoryLog::new();
    for append in history {
        append.to(&log);
    }
    log
}

struct Room {
    version: &'static RoomVersion,
    id: String,
    /// (ID, depth) of all events.
    events: Vec<(String, u64)>,
    /// (type, state key, ID), the newest last, as if all were allowed.
    state: Vec<(String, String, String)>,
    /// What others do not build upon yet.
    heads: Vec<usize>,
}

struct Maker {
    random: Random,
    key: SigningKey,
    rooms: Vec<Room>,
    appends: Vec<Append>,
    now: u64,
    made: usize,
    seed: u64,
}

fn user(number: usize) -> String {
    format!("@user{number}:{}", SERVERS[number % SERVERS.len()])
}

fn device(number: usize) -> String {
    format!("DEVICE{number}")
}

impl Maker {
    fn append(&mut self, lane: Lane, inputs: Vec<Input>) {
        // Clocks stand still and go back; the log sees to it that times of records do not.
        self.now = (self.now + self.random.pick(&[0, 0, 1, 7, 1000])).saturating_sub(self.random.pick(&[0, 0, 0, 500]));
        self.made += inputs.len();
        self.appends.push(Append { lane, inputs, at: TimestampMs(self.now) });
    }

    fn journal(&mut self, input: impl Into<Input>) {
        self.append(Lane::Journal, vec![input.into()]);
    }

    fn somebody(&mut self) -> String {
        user(self.random.below(USERS))
    }

    fn some_device(&mut self) -> String {
        device(self.random.below(DEVICES))
    }

    fn json(&mut self) -> Vec<u8> {
        let number = self.random.below(5);
        let padding = "x".repeat(self.random.pick(&[0, 3, 40, 300]));
        format!(r#"{{"number":{number},"text":"{padding}"}}"#).into_bytes()
    }

    fn named(&mut self, prefix: &str) -> Vec<v1::NamedJson> {
        let first = self.random.below(20);
        let count = self.random.below(4);
        (first..first + count)
            .map(|number| v1::NamedJson { name: format!("{prefix}:{number:02}"), json: self.json() })
            .collect()
    }

    fn transaction(&mut self, user_id: &str) -> Option<v1::Transaction> {
        let transaction_id = format!("txn{}", self.random.below(9));
        let device_id = self.some_device();
        (!self.random.one_in(3)).then(|| v1::Transaction { user_id: user_id.to_owned(), device_id, transaction_id })
    }

    fn account(&mut self, number: usize) {
        let user_id = user(number);
        let created = v1::AccountCreated {
            user_id: user_id.clone(),
            password_hash: Some("hash".to_owned()),
            admin: number == 0,
            guest: false,
            registration_token: None,
            appservice_id: None,
        };
        let login = self.login(&user_id);
        self.append(Lane::Journal, vec![created.into(), login.into()]);
    }

    fn login(&mut self, user_id: &str) -> v1::DeviceLoggedIn {
        let mut access_token_digest = [0; 32];
        access_token_digest[..8].copy_from_slice(&self.random.number().to_be_bytes());
        v1::DeviceLoggedIn {
            user_id: user_id.to_owned(),
            device_id: self.some_device(),
            access_token_digest,
            display_name: self.random.one_in(2).then(|| "a device".to_owned()),
            expires_ms: self.random.one_in(4).then_some(self.now + 5000),
            ip: None,
        }
    }

    fn anything(&mut self) {
        match self.random.below(20) {
            0..9 => self.in_a_room(),
            9..11 => self.about_an_account(),
            11..13 => self.about_data(),
            13..16 => self.about_keys(),
            16..18 => self.between_devices(),
            18 => self.beside_rooms(),
            _ => self.aside(),
        }
    }

    fn about_an_account(&mut self) {
        let (user_id, device_id) = (self.somebody(), self.some_device());
        match self.random.below(12) {
            0..6 => {
                let login = self.login(&user_id);
                self.journal(login);
            }
            6 => self.journal(v1::DeviceRenamed { user_id, device_id, display_name: Some("renamed".to_owned()) }),
            7 | 8 => self.journal(v1::DevicesRemoved { user_id, device_ids: vec![device_id] }),
            9 => self.journal(v1::PasswordSet { user_id, password_hash: Some("another".to_owned()) }),
            10 => {
                let token = format!("token{}", self.random.below(5));
                self.journal(v1::RegistrationTokenCreated { token, uses_allowed: Some(2), expires_ms: None });
            }
            _ if self.random.one_in(6) => self.journal(v1::AccountDeactivated { user_id, erase: true }),
            _ => self.account(self.made % USERS),
        }
    }

    fn about_data(&mut self) {
        let user_id = self.somebody();
        let content = self.json();
        match self.random.below(5) {
            0 => {
                let key = self.random.pick(&["displayname", "avatar_url", "m.tz"]).to_owned();
                let value = (!self.random.one_in(4)).then_some(b"\"value\"".to_vec());
                self.journal(v1::ProfileFieldSet { user_id, key, value });
            }
            1 => {
                let filter_id = self.random.below(9).to_string();
                self.journal(v1::FilterCreated { user_id, filter_id, filter: content });
            }
            number => {
                let room_id = (number == 2).then(|| self.some_room_id());
                let event_type = self.random.pick(&["m.direct", "m.tag", "m.push_rules", "x.y"]).to_owned();
                let content = if self.random.one_in(5) { b"{}".to_vec() } else { content };
                self.journal(v1::AccountDataSet { user_id, room_id, event_type, content });
            }
        }
    }

    fn about_keys(&mut self) {
        let (user_id, device_id) = (self.somebody(), self.some_device());
        match self.random.below(8) {
            0..4 => {
                let device_keys = self.random.one_in(2).then(|| {
                    format!(r#"{{"algorithms":[],"device_id":"{device_id}","keys":{{"ed25519:{device_id}":"AAAA"}},"signatures":{{}},"user_id":"{user_id}"}}"#)
                });
                let uploaded = v1::DeviceKeysUploaded {
                    device_keys: device_keys.map(String::into_bytes),
                    one_time_keys: self.named("signed_curve25519"),
                    fallback_keys: if self.random.one_in(3) { self.named("signed_curve25519") } else { Vec::new() },
                    user_id,
                    device_id,
                };
                self.journal(uploaded);
            }
            4 | 5 => {
                let key_id = format!("signed_curve25519:{:02}", self.random.below(20));
                let fallback = self.random.one_in(3);
                self.journal(v1::KeysClaimed { claims: vec![v1::KeyClaim { user_id, device_id, key_id, fallback }] });
            }
            6 => {
                let key = |usage: &str| {
                    format!(r#"{{"keys":{{"ed25519:{usage}":"AAAA"}},"signatures":{{}},"usage":["{usage}"],"user_id":"{user_id}"}}"#)
                        .into_bytes()
                };
                let (master, own, others) = (key("master"), key("self_signing"), key("user_signing"));
                let uploaded = v1::CrossSigningKeysUploaded {
                    master_key: Some(master),
                    self_signing_key: self.random.one_in(2).then_some(own),
                    user_signing_key: self.random.one_in(2).then_some(others),
                    user_id,
                };
                self.journal(uploaded);
            }
            _ => {
                let json = format!(r#"{{"signatures":{{"{user_id}":{{"ed25519:{device_id}":"c2ln"}}}}}}"#).into_bytes();
                let signed = vec![v1::SignedKey { user_id: user_id.clone(), key_id: device_id, json }];
                self.journal(v1::KeySignaturesUploaded { user_id, signed });
            }
        }
    }

    fn between_devices(&mut self) {
        let (sender, user_id, device_id) = (self.somebody(), self.somebody(), self.some_device());
        if self.random.one_in(3) {
            // Up to some record that there is, or up to none.
            let through = self.random.below(self.made + 1) as u64;
            return self.journal(v1::ToDeviceDelivered { user_id, device_id, through });
        }
        let messages = (0..=self.random.below(3))
            .map(|_| v1::ToDeviceMessage {
                user_id: self.somebody(),
                device_id: self.some_device(),
                content: self.json(),
            })
            .collect();
        let transaction = self.transaction(&sender);
        self.journal(v1::ToDeviceSent { sender, event_type: "m.room_key".to_owned(), messages, transaction });
    }

    fn beside_rooms(&mut self) {
        let (room_id, user_id) = (self.some_room_id(), self.somebody());
        match self.random.below(4) {
            0 => self.journal(v1::RoomForgotten { user_id, room_id }),
            1 => {
                let alias = format!("#alias{}:one.test", self.random.below(4));
                let room_id = (!self.random.one_in(3)).then_some(room_id);
                self.journal(v1::RoomAliasSet { alias, room_id, user_id });
            }
            2 => {
                let published = self.random.one_in(2);
                self.journal(v1::RoomPublished { room_id, published });
            }
            _ => {
                let event_id = self.some_event_id();
                let receipt_type = self.random.pick(&["m.read", "m.read.private"]).to_owned();
                let thread_id = self.random.one_in(3).then(|| "main".to_owned());
                let at_ms = self.now;
                self.journal(v1::ReceiptSent { room_id, user_id, receipt_type, event_id, thread_id, at_ms });
            }
        }
    }

    /// What leaves no trace in views: the ephemeral lane, and the log's own records.
    fn aside(&mut self) {
        let (room_id, user_id) = (self.some_room_id(), self.somebody());
        match self.random.below(3) {
            0 => self.append(Lane::Ephemeral, vec![v1::TypingSet { room_id, user_id, until_ms: None }.into()]),
            1 => {
                let presence = "online".to_owned();
                let (last_active_ms, currently_active) = (self.now, true);
                let set = v1::PresenceSet { user_id, presence, status_msg: None, last_active_ms, currently_active };
                self.append(Lane::Ephemeral, vec![set.into()]);
            }
            _ => self.journal(v1::Started { software: "engram".to_owned(), after_unclean_stop: false }),
        }
    }

    fn some_room_id(&mut self) -> String {
        let at = self.random.below(self.rooms.len());
        self.rooms[at].id.clone()
    }

    fn some_event_id(&mut self) -> String {
        let at = self.random.below(self.rooms.len());
        let event = self.random.below(self.rooms[at].events.len());
        self.rooms[at].events[event].0.clone()
    }

    fn room(&mut self) {
        let number = self.rooms.len();
        let version = RoomVersion::parse(self.random.pick(&VERSIONS)).expect("a known version");
        let id = format!("!room{number}of{}:one.test", self.seed);
        self.rooms.push(Room { version, id, events: Vec::new(), state: Vec::new(), heads: Vec::new() });
        let creator = user(0);
        // Rooms of version 12 are told apart by their create events alone.
        let create = format!(r#"{{"creator":"{creator}","number":{number},"room_version":"{}"}}"#, version.id());
        let levels = if version.create_is_room_id() { String::new() } else { format!(r#""{creator}":100,"#) };
        let levels = format!(r#"{{"users":{{{levels}"{}":50}}}}"#, user(1));
        let beginning = [
            ("m.room.create", "", create.as_str()),
            ("m.room.member", &creator, r#"{"membership":"join"}"#),
            ("m.room.power_levels", "", &levels),
            ("m.room.join_rules", "", r#"{"join_rule":"public"}"#),
        ];
        let events = beginning.map(|(event_type, state_key, content)| {
            let draft = Draft { sender: &creator, event_type, state_key: Some(state_key), content, redacts: None };
            self.event(number, &draft, None).into()
        });
        self.append(Lane::Journal, events.into());
    }

    fn in_a_room(&mut self) {
        if self.random.one_in(40) {
            return self.room();
        }
        let number = self.random.below(self.rooms.len());
        let (sender, target) = (self.somebody(), self.somebody());
        let member =
            |user: &str, word: &str| ("m.room.member", Some(user.to_owned()), format!(r#"{{"membership":"{word}"}}"#));
        let (event_type, state_key, content) = match self.random.below(16) {
            0..3 => member(&sender, "join"),
            3 => member(&target, self.random.pick(&["invite", "ban", "leave"])),
            4 => member(&sender, self.random.pick(&["leave", "knock"])),
            5 => {
                let topic = self.random.below(100);
                ("m.room.topic", Some(String::new()), format!(r#"{{"topic":"{topic}"}}"#))
            }
            6 => ("m.room.redaction", None, "{}".to_owned()),
            7 => ("x.custom", Some(target), "{}".to_owned()),
            _ => ("m.room.message", None, format!(r#"{{"body":"message {}","msgtype":"m.text"}}"#, self.made)),
        };
        let redacts = (event_type == "m.room.redaction").then(|| {
            let at = self.random.below(self.rooms[number].events.len());
            self.rooms[number].events[at].0.clone()
        });
        let transaction = self.transaction(&sender);
        let draft = Draft {
            sender: &sender,
            event_type,
            state_key: state_key.as_deref(),
            content: &content,
            redacts: redacts.as_deref(),
        };
        let event = self.event(number, &draft, transaction);
        let again = event.clone();
        self.journal(event);
        if self.random.one_in(30) {
            // The same event comes from two sides.
            self.journal(again);
        }
    }

    /// Where an event goes: mostly on what nobody has built upon, now and then elsewhere, which makes a fork.
    fn parents(&mut self, number: usize) -> Vec<usize> {
        let events = self.rooms[number].events.len();
        if events > 4 && self.random.one_in(8) {
            return vec![events - 1 - self.random.below(events.min(6))];
        }
        let mut parents = self.rooms[number].heads.clone();
        parents.truncate(10);
        parents
    }

    fn event(&mut self, number: usize, draft: &Draft<'_>, transaction: Option<v1::Transaction>) -> v1::Pdu {
        let parents = self.parents(number);
        self.now += self.random.pick(&[0, 1, 1000]);
        let room = &mut self.rooms[number];
        let wanted = auth_types(room.version, draft.event_type, draft.sender, draft.state_key, draft.content);
        let in_state = |wanted: &(String, String)| {
            room.state.iter().rev().find(|entry| (&entry.0, &entry.1) == (&wanted.0, &wanted.1)).map(|entry| &*entry.2)
        };
        let depth = parents.iter().map(|parent| room.events[*parent].1).max().unwrap_or(0) + 1;
        let makes_room = draft.event_type == "m.room.create" && room.version.create_is_room_id();
        let position = Position {
            room_id: (!makes_room).then_some(&room.id),
            prev_events: &parents.iter().map(|parent| &*room.events[*parent].0).collect::<Vec<_>>(),
            auth_events: &wanted.iter().filter_map(in_state).collect::<Vec<_>>(),
            depth,
            origin_server_ts: self.now,
            event_id: None,
            reference_hashes: &[],
        };
        let server = draft.sender.split_once(':').expect("a user ID has a server").1;
        let built = build(room.version, draft, &position, server, &self.key).expect("a valid event");
        room.id.clone_from(&built.room_id);
        let at = room.events.len();
        room.events.push((built.event_id.clone(), depth));
        room.heads.retain(|head| !parents.contains(head));
        room.heads.push(at);
        if let Some(state_key) = draft.state_key {
            room.state.push((draft.event_type.to_owned(), state_key.to_owned(), built.event_id.clone()));
        }
        let is_local = server == SERVERS[0];
        v1::Pdu {
            room_id: built.room_id,
            event_id: built.event_id,
            room_version: room.version.id().to_owned(),
            source: if is_local { v1::PduSource::Local } else { v1::PduSource::Federation },
            json: built.json,
            transaction: transaction.filter(|_| is_local),
            verified_keys: Vec::new(),
        }
    }
}
