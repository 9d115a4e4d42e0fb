//! `GET /_matrix/client/v3/capabilities` (Capabilities negotiation).

use std::sync::Arc;

use engram_http::json::Json;
use engram_http::{Authed, State};
use engram_matrix::room_version::RoomVersion;
use serde_json::{Map, Value, json};

use crate::app::App;

pub(crate) fn get(State(app): State<Arc<App>>, _session: Authed) -> Json<Value> {
    let available: Map<String, Value> =
        RoomVersion::supported().map(|version| (version.id().to_owned(), "stable".into())).collect();
    Json(json!({
        "capabilities": {
            "m.change_password": { "enabled": true },
            "m.room_versions": { "default": app.config.default_room_version, "available": available },
            "m.set_displayname": { "enabled": true },
            "m.set_avatar_url": { "enabled": true },
            "m.profile_fields": { "enabled": true },
            "m.3pid_changes": { "enabled": false },
            "m.get_login_token": { "enabled": false },
        }
    }))
}
