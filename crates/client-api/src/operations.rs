//! Every operation of the client API, a line each. Whatever is not here answers `M_UNRECOGNIZED`.

use engram_http::Operation;
use engram_http::limits::{
    ANONYMOUS_BODY_BYTES_MAX, LARGE_BODY_BYTES_MAX, SMALL_BODY_BYTES_MAX, TO_DEVICE_BODY_BYTES_MAX,
};
use engram_http::registry::{Prefix, Rate, delete, get, post, put};

use crate::app::App;
use crate::limits::{ACCOUNT_DATA_BYTES_MAX, FILTER_BYTES_MAX};
use crate::{
    account, account_data, capabilities, cross_signing, devices, filter, keys, login, logout, presence, profile,
    push_rules, receipts, register, register_admin, rooms, sync, tags, to_device, typing, versions, well_known,
};

/// All of them.
pub fn operations() -> Vec<Operation<App>> {
    let families = [about_the_server(), sessions(), accounts(), settings(), account_data_and_tags(), pushrules()];
    let more = [encryption(), presence_and_receipts(), rooms::operations(), sync::operations()];
    families.into_iter().chain(more).flatten().collect()
}

fn about_the_server() -> Vec<Operation<App>> {
    vec![
        get("getWellknown", "/.well-known/matrix/client").anybody().rate(Rate::Free).memory(well_known::client),
        get("getVersions", "/_matrix/client/versions").anybody().rate(Rate::Free).memory(versions::get),
        get("getCapabilities", "/_matrix/client/v3/capabilities").user().rate(Rate::Free).memory(capabilities::get),
    ]
}

fn sessions() -> Vec<Operation<App>> {
    vec![
        get("getLoginFlows", "/_matrix/client/v3/login").anybody().rate(Rate::Free).memory(login::flows),
        post("login", "/_matrix/client/v3/login")
            .anybody()
            .body(ANONYMOUS_BODY_BYTES_MAX)
            .rate(Rate::Credentials)
            .hash(login::log_in),
        post("logout", "/_matrix/client/v3/logout").user().locked().write(logout::this),
        post("logout_all", "/_matrix/client/v3/logout/all").user().locked().write(logout::all),
        post("register", "/_matrix/client/v3/register")
            .anybody()
            .body(ANONYMOUS_BODY_BYTES_MAX)
            .rate(Rate::Credentials)
            .hash(register::register),
        get("checkUsernameAvailability", "/_matrix/client/v3/register/available")
            .anybody()
            .rate(Rate::Credentials)
            .read(register::available),
        get("registrationTokenValidity", "/_matrix/client/v1/register/m.login.registration_token/validity")
            .anybody()
            .rate(Rate::Credentials)
            .read(register::token_validity),
        get("getRegistrationNonce", "/_synapse/admin/v1/register")
            .anybody()
            .unspecified()
            .rate(Rate::Credentials)
            .memory(register_admin::nonce),
        post("registerBySharedSecret", "/_synapse/admin/v1/register")
            .anybody()
            .unspecified()
            .body(ANONYMOUS_BODY_BYTES_MAX)
            .rate(Rate::Credentials)
            .hash(register_admin::register),
    ]
}

fn accounts() -> Vec<Operation<App>> {
    vec![
        get("getTokenOwner", "/_matrix/client/v3/account/whoami")
            .user()
            .guests()
            .rate(Rate::Free)
            .memory(account::whoami),
        post("changePassword", "/_matrix/client/v3/account/password")
            .user()
            .suspended()
            .in_person()
            .body(SMALL_BODY_BYTES_MAX)
            .rate(Rate::Credentials)
            .hash(account::password),
        post("deactivateAccount", "/_matrix/client/v3/account/deactivate")
            .user()
            .suspended()
            .in_person()
            .body(SMALL_BODY_BYTES_MAX)
            .rate(Rate::Credentials)
            .hash(account::deactivate),
        get("getDevices", "/_matrix/client/v3/devices").user().guests().read(devices::list),
        get("getDevice", "/_matrix/client/v3/devices/{deviceId}").user().guests().read(devices::get),
        put("updateDevice", "/_matrix/client/v3/devices/{deviceId}")
            .user()
            .guests()
            .body(SMALL_BODY_BYTES_MAX)
            .write(devices::rename),
        delete("deleteDevice", "/_matrix/client/v3/devices/{deviceId}")
            .user()
            .suspended()
            .body(SMALL_BODY_BYTES_MAX)
            .rate(Rate::Credentials)
            .hash(devices::delete),
        post("deleteDevices", "/_matrix/client/v3/delete_devices")
            .user()
            .suspended()
            .body(SMALL_BODY_BYTES_MAX)
            .rate(Rate::Credentials)
            .hash(devices::delete_several),
        get("getUserProfile", "/_matrix/client/v3/profile/{userId}").anybody().read(profile::all),
        get("getProfileField", "/_matrix/client/v3/profile/{userId}/{keyName}").anybody().read(profile::field),
        put("setProfileField", "/_matrix/client/v3/profile/{userId}/{keyName}")
            .user()
            .guests()
            .body(SMALL_BODY_BYTES_MAX)
            .write(profile::put),
        delete("deleteProfileField", "/_matrix/client/v3/profile/{userId}/{keyName}")
            .user()
            .guests()
            .write(profile::delete),
    ]
}

fn settings() -> Vec<Operation<App>> {
    vec![
        post("defineFilter", "/_matrix/client/v3/user/{userId}/filter")
            .user()
            .suspended()
            .body(FILTER_BYTES_MAX)
            .write(filter::create),
        get("getFilter", "/_matrix/client/v3/user/{userId}/filter/{filterId}").user().read(filter::get),
    ]
}

fn account_data_and_tags() -> Vec<Operation<App>> {
    vec![
        get("getAccountData", "/_matrix/client/v3/user/{userId}/account_data/{type}").user().read(account_data::get),
        put("setAccountData", "/_matrix/client/v3/user/{userId}/account_data/{type}")
            .user()
            .suspended()
            .body(ACCOUNT_DATA_BYTES_MAX)
            .write(account_data::put),
        get("getAccountDataPerRoom", "/_matrix/client/v3/user/{userId}/rooms/{roomId}/account_data/{type}")
            .user()
            .read(account_data::get_in_room),
        put("setAccountDataPerRoom", "/_matrix/client/v3/user/{userId}/rooms/{roomId}/account_data/{type}")
            .user()
            .suspended()
            .body(ACCOUNT_DATA_BYTES_MAX)
            .write(account_data::put_in_room),
        get("getRoomTags", "/_matrix/client/v3/user/{userId}/rooms/{roomId}/tags").user().read(tags::list),
        put("setRoomTag", "/_matrix/client/v3/user/{userId}/rooms/{roomId}/tags/{tag}")
            .user()
            .suspended()
            .body(ACCOUNT_DATA_BYTES_MAX)
            .write(tags::put),
        delete("deleteRoomTag", "/_matrix/client/v3/user/{userId}/rooms/{roomId}/tags/{tag}")
            .user()
            .suspended()
            .write(tags::delete),
    ]
}

fn pushrules() -> Vec<Operation<App>> {
    vec![
        get("getPushRules", "/_matrix/client/v3/pushrules/")
            .and("/_matrix/client/v3/pushrules")
            .user()
            .read(push_rules::all),
        get("getPushRulesGlobal", "/_matrix/client/v3/pushrules/global/")
            .and("/_matrix/client/v3/pushrules/global")
            .user()
            .read(push_rules::global),
        get("getPushRulesOfKind", "/_matrix/client/v3/pushrules/global/{kind}/")
            .and("/_matrix/client/v3/pushrules/global/{kind}")
            .user()
            .unspecified()
            .read(push_rules::kind),
        get("getPushRule", "/_matrix/client/v3/pushrules/global/{kind}/{ruleId}").user().read(push_rules::rule),
        put("setPushRule", "/_matrix/client/v3/pushrules/global/{kind}/{ruleId}")
            .user()
            .suspended()
            .body(SMALL_BODY_BYTES_MAX)
            .write(push_rules::put),
        delete("deletePushRule", "/_matrix/client/v3/pushrules/global/{kind}/{ruleId}")
            .user()
            .suspended()
            .write(push_rules::delete),
        get("getPushRuleActions", "/_matrix/client/v3/pushrules/global/{kind}/{ruleId}/actions")
            .user()
            .read(push_rules::actions),
        put("setPushRuleActions", "/_matrix/client/v3/pushrules/global/{kind}/{ruleId}/actions")
            .user()
            .suspended()
            .body(SMALL_BODY_BYTES_MAX)
            .write(push_rules::put_actions),
        get("isPushRuleEnabled", "/_matrix/client/v3/pushrules/global/{kind}/{ruleId}/enabled")
            .user()
            .read(push_rules::enabled),
        put("setPushRuleEnabled", "/_matrix/client/v3/pushrules/global/{kind}/{ruleId}/enabled")
            .user()
            .suspended()
            .body(SMALL_BODY_BYTES_MAX)
            .write(push_rules::put_enabled),
    ]
}

fn encryption() -> Vec<Operation<App>> {
    vec![
        post("uploadKeys", "/_matrix/client/v3/keys/upload")
            .and("/_matrix/client/v3/keys/upload/{deviceId}")
            .old(Prefix::Unstable)
            .user()
            .guests()
            .suspended()
            .body(LARGE_BODY_BYTES_MAX)
            .write(keys::upload),
        post("queryKeys", "/_matrix/client/v3/keys/query")
            .old(Prefix::Unstable)
            .user()
            .guests()
            .suspended()
            .body(LARGE_BODY_BYTES_MAX)
            .rate(Rate::Heavy)
            .read(keys::query),
        post("claimKeys", "/_matrix/client/v3/keys/claim")
            .old(Prefix::Unstable)
            .user()
            .guests()
            .suspended()
            .body(LARGE_BODY_BYTES_MAX)
            .write(keys::claim),
        get("getKeysChanges", "/_matrix/client/v3/keys/changes")
            .old(Prefix::Unstable)
            .user()
            .rate(Rate::Heavy)
            .read(keys::changes),
        post("uploadCrossSigningKeys", "/_matrix/client/v3/keys/device_signing/upload")
            .old(Prefix::Unstable)
            .user()
            .suspended()
            .body(SMALL_BODY_BYTES_MAX)
            .hash(cross_signing::upload_keys),
        post("uploadCrossSigningSignatures", "/_matrix/client/v3/keys/signatures/upload")
            .old(Prefix::Unstable)
            .user()
            .suspended()
            .body(LARGE_BODY_BYTES_MAX)
            .write(cross_signing::upload_signatures),
        put("sendToDevice", "/_matrix/client/v3/sendToDevice/{eventType}/{txnId}")
            .user()
            .guests()
            .suspended()
            .body(TO_DEVICE_BODY_BYTES_MAX)
            .rate(Rate::Message)
            .write(to_device::send),
    ]
}

fn presence_and_receipts() -> Vec<Operation<App>> {
    vec![
        get("getPresence", "/_matrix/client/v3/presence/{userId}/status").user().read(presence::get),
        put("setPresence", "/_matrix/client/v3/presence/{userId}/status")
            .user()
            .body(SMALL_BODY_BYTES_MAX)
            .write(presence::put),
        put("setTyping", "/_matrix/client/v3/rooms/{roomId}/typing/{userId}")
            .user()
            .body(SMALL_BODY_BYTES_MAX)
            .write(typing::put),
        post("postReceipt", "/_matrix/client/v3/rooms/{roomId}/receipt/{receiptType}/{eventId}")
            .user()
            .suspended()
            .body(SMALL_BODY_BYTES_MAX)
            .write(receipts::receipt),
        post("setReadMarker", "/_matrix/client/v3/rooms/{roomId}/read_markers")
            .user()
            .suspended()
            .body(SMALL_BODY_BYTES_MAX)
            .write(receipts::markers),
    ]
}
