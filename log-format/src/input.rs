//! What a payload means: the union of all record types, and the table of their kinds.
//!
//! A record names its payload by ([`Kind`], schema version). [`Input`] is the owned union that
//! writers encode, [`InputRef`] the validated zero-copy union that projectors read. The numbers in
//! the table below are part of the format: they are never reused and never change.

use std::fmt;

use rkyv::rancor;
use rkyv::util::AlignedVec;

use crate::types::{Kind, Retention};
use crate::v1;

/// Why a payload cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum DecodeError {
    /// This version of the software does not know the kind or its schema version.
    #[error("unknown record kind {kind} with schema version {schema}: written by a newer version?")]
    Unknown {
        /// The kind.
        kind: u16,
        /// The schema version.
        schema: u16,
    },
    /// The payload was erased: nothing is left to be read.
    #[error("the payload of this {kind:?} was erased")]
    Erased {
        /// The kind.
        kind: Kind,
    },
    /// The bytes are no valid archive of the type that the kind names.
    #[error("payload of record kind {kind:?} does not validate: {source}")]
    Invalid {
        /// The kind.
        kind: Kind,
        /// What the validation found.
        source: rancor::Error,
    },
}

macro_rules! inputs {
    ($($variant:ident = $number:literal, $name:literal, $retention:ident;)*) => {
        /// A record's payload, owned: what a writer hands to the log.
        #[derive(Clone, Debug, PartialEq, Eq)]
        #[expect(missing_docs, reason = "each variant is documented at its type in `v1`")]
        pub enum Input { $($variant(v1::$variant),)* }

        /// A record's payload, validated and read in place.
        #[derive(Clone, Copy, Debug)]
        #[expect(missing_docs, reason = "each variant is documented at its type in `v1`")]
        pub enum InputRef<'a> { $($variant(&'a v1::ArchivedInput<v1::$variant>),)* }

        $(impl From<v1::$variant> for Input {
            fn from(value: v1::$variant) -> Self { Self::$variant(value) }
        })*

        impl Input {
            /// The kind under which this payload is written.
            pub fn kind(&self) -> Kind {
                match self { $(Self::$variant(_) => Kind($number),)* }
            }

            /// The schema version under which this payload is written.
            pub fn schema(&self) -> u16 { 1 }

            /// The payload's bytes, aligned to 16.
            pub fn encode(&self) -> AlignedVec {
                self.encode_onto(AlignedVec::new())
            }

            /// Adds the payload's bytes to `buffer`, which ends at a multiple of 16.
            pub fn encode_onto(&self, buffer: AlignedVec) -> AlignedVec {
                assert!(buffer.len().is_multiple_of(crate::record::ALIGNMENT), "payloads start aligned");
                let encoded = match self {
                    $(Self::$variant(value) => rkyv::api::high::to_bytes_in::<_, rancor::Error>(value, buffer),)*
                };
                encoded.expect("serialising to memory without shared pointers cannot fail")
            }
        }

        impl<'a> InputRef<'a> {
            /// Reads a payload in place. The bytes must be aligned to 16 and their digest checked before:
            /// validation guards memory safety, not integrity.
            pub fn decode(kind: Kind, schema: u16, bytes: &'a [u8]) -> Result<Self, DecodeError> {
                match (kind.0, schema) {
                    $(($number, 1) => rkyv::access::<v1::ArchivedInput<v1::$variant>, rancor::Error>(bytes)
                        .map(Self::$variant)
                        .map_err(|source| DecodeError::Invalid { kind, source }),)*
                    (kind, schema) => Err(DecodeError::Unknown { kind, schema }),
                }
            }

            /// An owned copy.
            pub fn to_owned(self) -> Input {
                match self { $(Self::$variant(archived) => Input::$variant(
                    rkyv::deserialize::<v1::$variant, rancor::Error>(archived)
                        .expect("a validated archive without shared pointers deserialises")
                ),)* }
            }
        }

        /// The name of a kind, for people: `pdu`, `account-created`.
        pub fn kind_name(kind: Kind) -> Option<&'static str> {
            match kind.0 { $($number => Some($name),)* _ => None }
        }

        /// The kind of a name; the inverse of [`kind_name`].
        pub fn kind_by_name(name: &str) -> Option<Kind> {
            match name { $($name => Some(Kind($number)),)* _ => None }
        }

        /// How long a kind's payload has to be kept.
        pub fn retention(kind: Kind) -> Option<Retention> {
            match kind.0 { $($number => Some(Retention::$retention),)* _ => None }
        }

        /// Every kind that this version knows, in ascending order.
        pub const KINDS: &[Kind] = &[$(Kind($number),)*];
    };
}

inputs! {
    Genesis = 1, "genesis", Keep;
    OffsetLease = 2, "offset-lease", Keep;
    Started = 3, "started", Keep;
    CleanShutdown = 4, "clean-shutdown", Keep;
    Erased = 5, "erased", Keep;

    Pdu = 16, "pdu", Keep;
    StateGiven = 17, "state-given", Keep;
    RoomsRejudged = 18, "rooms-rejudged", Keep;

    AccountCreated = 32, "account-created", Keep;
    PasswordSet = 33, "password-set", WithAccount;
    AccountDeactivated = 34, "account-deactivated", Keep;
    RegistrationTokenCreated = 35, "registration-token-created", Keep;
    DeviceLoggedIn = 36, "device-logged-in", Keep;
    DevicesRemoved = 37, "devices-removed", Keep;
    DeviceRenamed = 38, "device-renamed", Keep;
    ProfileFieldSet = 39, "profile-field-set", WithAccount;
    AccountDataSet = 40, "account-data-set", WithAccount;
    FilterCreated = 41, "filter-created", WithAccount;

    DeviceKeysUploaded = 48, "device-keys-uploaded", Keep;
    KeysClaimed = 49, "keys-claimed", Keep;
    CrossSigningKeysUploaded = 50, "cross-signing-keys-uploaded", Keep;
    KeySignaturesUploaded = 51, "key-signatures-uploaded", Keep;
    ToDeviceSent = 52, "to-device-sent", UntilDelivered;
    ToDeviceDelivered = 53, "to-device-delivered", Keep;

    RoomForgotten = 64, "room-forgotten", Keep;
    RoomAliasSet = 65, "room-alias-set", Keep;
    RoomPublished = 66, "room-published", Keep;
    ReceiptSent = 80, "receipt-sent", Keep;
    TypingSet = 81, "typing-set", ByAge;
    PresenceSet = 82, "presence-set", ByAge;

    EffectDelivered = 96, "effect-delivered", Keep;
}

impl fmt::Debug for Kind {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match kind_name(*self) {
            Some(name) => formatter.write_str(name),
            None => write!(formatter, "kind {}", self.0),
        }
    }
}
