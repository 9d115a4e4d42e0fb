//! From the room server's refusals to Matrix error codes.

use engram_rooms::writer::RoomError;

use crate::error::ApiError;

impl From<RoomError> for ApiError {
    fn from(error: RoomError) -> Self {
        let message = error.to_string();
        match error {
            // A room that is not known is not told from one that the user is not in.
            RoomError::UnknownRoom(_) | RoomError::Forbidden(_) => Self::forbidden(message),
            RoomError::BadContent(_) => Self::bad_json(message),
            RoomError::InvalidParameter(_) | RoomError::NotLocal(_) => Self::invalid_param(message),
            RoomError::TooLarge(_) => Self::too_large(message),
            RoomError::UnsupportedVersion(_) => Self::unsupported_room_version(message),
            RoomError::InvalidInitialState(_) => Self::invalid_room_state(message),
            RoomError::AliasInUse(_) => Self::room_in_use(message),
            RoomError::UnknownAlias(_) => Self::not_found(message),
            RoomError::BadAlias(_) => Self::bad_alias(message),
            RoomError::NotLeft(_) => Self::unknown(message),
            RoomError::Append(error) => error.into(),
            RoomError::View(error) => error.into(),
            RoomError::Internal(_) => Self::internal(message),
        }
    }
}
