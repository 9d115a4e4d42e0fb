//! Every endpoint, one line each. Whatever is not here answers `M_UNRECOGNIZED`.

use std::sync::Arc;

use axum::Router;
use axum::routing::{get, post, put};

use crate::app::App;
use crate::error::ApiError;
use crate::{
    account, account_data, capabilities, cross_signing, devices, filter, keys, login, logout, presence, profile,
    push_rules, receipts, register, register_admin, rooms, sync, tags, to_device, typing, versions, well_known,
};

/// The routes. A path may have several lines, one for each method.
pub fn router() -> Router<Arc<App>> {
    Router::new()
        .route("/.well-known/matrix/client", get(well_known::client))
        .route("/_matrix/client/versions", get(versions::get))
        .route("/_synapse/admin/v1/register", get(register_admin::nonce).post(register_admin::register))
        // Accounts and sessions
        .route("/_matrix/client/v3/login", get(login::flows).post(login::log_in))
        .route("/_matrix/client/v3/logout", post(logout::this))
        .route("/_matrix/client/v3/logout/all", post(logout::all))
        .route("/_matrix/client/v3/register", post(register::register))
        .route("/_matrix/client/v3/register/available", get(register::available))
        .route("/_matrix/client/v1/register/m.login.registration_token/validity", get(register::token_validity))
        .route("/_matrix/client/v3/account/whoami", get(account::whoami))
        .route("/_matrix/client/v3/account/password", post(account::password))
        .route("/_matrix/client/v3/account/deactivate", post(account::deactivate))
        .route("/_matrix/client/v3/capabilities", get(capabilities::get))
        .route("/_matrix/client/v3/devices", get(devices::list))
        .route("/_matrix/client/v3/devices/{device_id}", get(devices::get).put(devices::rename).delete(devices::delete))
        .route("/_matrix/client/v3/delete_devices", post(devices::delete_several))
        // What users keep at the server
        .route("/_matrix/client/v3/profile/{user_id}", get(profile::all))
        .route(
            "/_matrix/client/v3/profile/{user_id}/{key}",
            get(profile::field).put(profile::put).delete(profile::delete),
        )
        .route("/_matrix/client/v3/user/{user_id}/account_data/{type}", get(account_data::get).put(account_data::put))
        .route(
            "/_matrix/client/v3/user/{user_id}/rooms/{room_id}/account_data/{type}",
            get(account_data::get_in_room).put(account_data::put_in_room),
        )
        .route("/_matrix/client/v3/user/{user_id}/rooms/{room_id}/tags", get(tags::list))
        .route("/_matrix/client/v3/user/{user_id}/rooms/{room_id}/tags/{tag}", put(tags::put).delete(tags::delete))
        .route("/_matrix/client/v3/user/{user_id}/filter", post(filter::create))
        .route("/_matrix/client/v3/user/{user_id}/filter/{filter_id}", get(filter::get))
        .route("/_matrix/client/v3/pushrules", get(push_rules::all))
        .route("/_matrix/client/v3/pushrules/", get(push_rules::all))
        .route("/_matrix/client/v3/pushrules/global", get(push_rules::global))
        .route("/_matrix/client/v3/pushrules/global/", get(push_rules::global))
        .route("/_matrix/client/v3/pushrules/global/{kind}", get(push_rules::kind))
        .route("/_matrix/client/v3/pushrules/global/{kind}/", get(push_rules::kind))
        .route(
            "/_matrix/client/v3/pushrules/global/{kind}/{rule_id}",
            get(push_rules::rule).put(push_rules::put).delete(push_rules::delete),
        )
        .route(
            "/_matrix/client/v3/pushrules/global/{kind}/{rule_id}/{attribute}",
            get(push_rules::attribute).put(push_rules::put_attribute),
        )
        // End-to-end encryption
        .route("/_matrix/client/v3/keys/upload", post(keys::upload))
        .route("/_matrix/client/v3/keys/upload/{device_id}", post(keys::upload))
        .route("/_matrix/client/v3/keys/query", post(keys::query))
        .route("/_matrix/client/v3/keys/claim", post(keys::claim))
        .route("/_matrix/client/v3/keys/changes", get(keys::changes))
        .route("/_matrix/client/v3/keys/device_signing/upload", post(cross_signing::upload_keys))
        .route("/_matrix/client/v3/keys/signatures/upload", post(cross_signing::upload_signatures))
        .route("/_matrix/client/v3/sendToDevice/{type}/{transaction_id}", put(to_device::send))
        // Presence, typing, receipts
        .route("/_matrix/client/v3/presence/{user_id}/status", get(presence::get).put(presence::put))
        .route("/_matrix/client/v3/rooms/{room_id}/typing/{user_id}", put(typing::put))
        .route("/_matrix/client/v3/rooms/{room_id}/receipt/{type}/{event_id}", post(receipts::receipt))
        .route("/_matrix/client/v3/rooms/{room_id}/read_markers", post(receipts::markers))
        .merge(rooms::router())
        .merge(sync::router())
        .fallback(unknown_path)
        .method_not_allowed_fallback(wrong_method)
}

async fn unknown_path() -> ApiError {
    ApiError::unrecognized("There is no such endpoint.")
}

async fn wrong_method() -> ApiError {
    ApiError::method_not_allowed()
}

#[cfg(test)]
mod tests {
    #[test]
    fn no_two_routes_are_in_conflict() {
        // The router panics while it is built if they are.
        assert!(super::router().has_routes());
    }
}
