//! Domain errors as the client sees them: the one place where they are mapped to (status, errcode).

use axum::http::StatusCode;
use engram_ephemeral::MarkError;
use engram_rooms::writer::RoomError;
use engram_sync::SyncError;
use engram_sync::messages::HistoryError;
use engram_users::writer::{
    AccountDataError, CrossSigningError, DeviceError, FilterError, LoginError, ProfileError, RegisterError,
    SessionError, ToDeviceError, UploadKeysError,
};
use engram_views::WriteError;

use crate::error::ApiError;

impl From<WriteError> for ApiError {
    fn from(error: WriteError) -> Self {
        match error {
            WriteError::Append(error) => error.into(),
            WriteError::Stopped(error) => error.into(),
            WriteError::View(error) => error.into(),
        }
    }
}

impl From<SessionError> for ApiError {
    fn from(error: SessionError) -> Self {
        match error {
            SessionError::Unknown => Self::unknown_token(false),
            SessionError::Expired => Self::unknown_token(true),
            SessionError::View(error) => error.into(),
        }
    }
}

impl From<LoginError> for ApiError {
    fn from(error: LoginError) -> Self {
        match error {
            LoginError::Forbidden => Self::forbidden("Invalid user name or password."),
            LoginError::Deactivated => Self::user_deactivated("This account has been deactivated."),
            LoginError::InvalidParam(what) => Self::invalid_param(what),
            LoginError::Write(error) => error.into(),
        }
    }
}

impl From<RegisterError> for ApiError {
    fn from(error: RegisterError) -> Self {
        let message = error.to_string();
        match error {
            RegisterError::InUse => Self::user_in_use(message),
            RegisterError::InvalidUsername(_) => Self::invalid_username(message),
            RegisterError::Exclusive => Self::exclusive(message),
            RegisterError::BadToken => Self::forbidden(message),
            RegisterError::InvalidParam(_) => Self::invalid_param(message),
            RegisterError::Write(error) => error.into(),
        }
    }
}

impl From<DeviceError> for ApiError {
    fn from(error: DeviceError) -> Self {
        match error {
            DeviceError::NotFound => Self::not_found("Unknown device."),
            DeviceError::NameTooLong => Self::invalid_param("The display name is too long."),
            DeviceError::Write(error) => error.into(),
        }
    }
}

impl From<ProfileError> for ApiError {
    fn from(error: ProfileError) -> Self {
        let message = error.to_string();
        match error {
            ProfileError::UnknownUser => Self::not_found(message),
            ProfileError::KeyTooLarge => Self::key_too_large(message),
            ProfileError::TooLarge => Self::profile_too_large(message),
            ProfileError::InvalidKey | ProfileError::InvalidValue(_) => Self::invalid_param(message),
            ProfileError::Unsound(error) => Self::bad_json(error.to_string()),
            ProfileError::Guest(error) => Self::guest_access_forbidden(error.to_string()),
            ProfileError::Write(error) => error.into(),
        }
    }
}

impl From<AccountDataError> for ApiError {
    fn from(error: AccountDataError) -> Self {
        let message = error.to_string();
        match error {
            AccountDataError::Reserved(_) => Self::bad_json(message).status(StatusCode::METHOD_NOT_ALLOWED),
            AccountDataError::NotAnObject => Self::bad_json(message),
            AccountDataError::InvalidType => Self::invalid_param(message),
            AccountDataError::TooLarge => Self::too_large(message),
            AccountDataError::Unsound(error) => Self::bad_json(error.to_string()),
            AccountDataError::Guest(error) => Self::guest_access_forbidden(error.to_string()),
            AccountDataError::Write(error) => error.into(),
        }
    }
}

impl From<FilterError> for ApiError {
    fn from(error: FilterError) -> Self {
        match error {
            FilterError::NotAnObject => Self::bad_json("A filter must be a JSON object."),
            FilterError::Unsound(error) => Self::bad_json(error.to_string()),
            FilterError::Guest(error) => Self::guest_access_forbidden(error.to_string()),
            FilterError::Write(error) => error.into(),
        }
    }
}

impl From<UploadKeysError> for ApiError {
    fn from(error: UploadKeysError) -> Self {
        let message = error.to_string();
        match error {
            UploadKeysError::Invalid(_) | UploadKeysError::Conflict(_) => Self::invalid_param(message),
            UploadKeysError::UnknownDevice => Self::not_found(message),
            UploadKeysError::Unsound(_) | UploadKeysError::Malformed(_) => Self::bad_json(message),
            UploadKeysError::Write(error) => error.into(),
        }
    }
}

impl From<CrossSigningError> for ApiError {
    fn from(error: CrossSigningError) -> Self {
        let message = error.to_string();
        match error {
            CrossSigningError::MissingMasterKey => Self::missing_param(message),
            CrossSigningError::InvalidSignature(_) => Self::invalid_signature(message),
            CrossSigningError::Invalid(_) => Self::invalid_param(message),
            CrossSigningError::Unsound(error) => Self::bad_json(error.to_string()),
            CrossSigningError::Guest(error) => Self::guest_access_forbidden(error.to_string()),
            CrossSigningError::Write(error) => error.into(),
        }
    }
}

impl From<ToDeviceError> for ApiError {
    fn from(error: ToDeviceError) -> Self {
        let message = error.to_string();
        match error {
            ToDeviceError::Invalid(_) => Self::invalid_param(message),
            ToDeviceError::NotAnObject | ToDeviceError::Unsound(_) => Self::bad_json(message),
            ToDeviceError::TooLarge => Self::too_large(message),
            ToDeviceError::Write(error) => error.into(),
        }
    }
}

impl From<MarkError> for ApiError {
    fn from(error: MarkError) -> Self {
        match error {
            MarkError::Invalid(what) => Self::invalid_param(what),
            MarkError::UnknownEvent => Self::not_found("There is no such event in this room."),
            MarkError::Write(error) => error.into(),
        }
    }
}

impl From<RoomError> for ApiError {
    fn from(error: RoomError) -> Self {
        let message = error.to_string();
        match error {
            RoomError::UnknownRoom(_) | RoomError::UnknownAlias(_) => Self::not_found(message),
            RoomError::Forbidden(_) | RoomError::NotInRoom(_) | RoomError::NotLocal(_) => Self::forbidden(message),
            RoomError::GuestForbidden(_) => Self::guest_access_forbidden(message),
            RoomError::BadContent(_) => Self::bad_json(message),
            RoomError::InvalidParameter(_) => Self::invalid_param(message),
            RoomError::TooLarge(_) => Self::too_large(message),
            RoomError::UnsupportedVersion(_) => Self::unsupported_room_version(message),
            RoomError::InvalidInitialState(_) => Self::invalid_room_state(message),
            RoomError::AliasInUse(_) => Self::room_in_use(message),
            RoomError::BadAlias(_) => Self::bad_alias(message),
            RoomError::NotLeft(_) => Self::unknown(message),
            RoomError::Append(error) => error.into(),
            RoomError::View(error) => error.into(),
            RoomError::Internal(_) => Self::internal(message),
        }
    }
}

impl From<SyncError> for ApiError {
    fn from(error: SyncError) -> Self {
        match error {
            SyncError::View(error) => error.into(),
            SyncError::Stopped(error) => error.into(),
        }
    }
}

impl From<HistoryError> for ApiError {
    fn from(error: HistoryError) -> Self {
        let message = error.to_string();
        match error {
            HistoryError::Forbidden => Self::forbidden(message),
            HistoryError::NotFound => Self::not_found(message),
            HistoryError::View(error) => error.into(),
        }
    }
}
