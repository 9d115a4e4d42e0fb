//! What a record changed for somebody: the signals on which live readers act.

/// The view while the projector applies a record to it, and tells of it.
pub(crate) type Apply<'a> = engram_views::Apply<'a, UserDelta>;

/// A change that the projector tells its observers of, after it is visible in the views.
///
/// A delta says where to look, not what is there: the tables at the delta's offset say that.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum UserDelta {
    /// Account data was set.
    AccountData {
        /// Whose.
        user_id: String,
        /// The room, or none for global account data.
        room_id: Option<String>,
        /// The event type.
        event_type: String,
    },
    /// A to-device message arrived.
    ToDevice {
        /// The receiver.
        user_id: String,
        /// The receiving device.
        device_id: String,
    },
    /// Device keys, devices, device names or cross-signing keys of a user changed: everybody who shares an
    /// encrypted room with them has to fetch the keys again, and so have their own devices.
    DeviceListChanged {
        /// Whose.
        user_id: String,
    },
    /// A user signed keys of somebody else: of interest to the signer's own devices only.
    SignaturesChanged {
        /// Who signed, and alone sees the signature.
        signer: String,
        /// Whose key was signed.
        user_id: String,
    },
    /// Devices are gone, and with them their access tokens.
    DevicesRemoved {
        /// Whose.
        user_id: String,
        /// Which.
        device_ids: Vec<String>,
    },
    /// The number of one-time keys, or the use of a fallback key, changed.
    OneTimeKeysChanged {
        /// Whose.
        user_id: String,
        /// Which device's.
        device_id: String,
    },
    /// A profile field changed.
    ProfileChanged {
        /// Whose.
        user_id: String,
        /// Which field.
        field: String,
    },
    /// An account was closed.
    AccountDeactivated {
        /// Whose.
        user_id: String,
    },
}
