//! What is left to do for accounts that were closed, at a start.

use std::sync::Arc;

use crate::app::App;
use crate::membership;

/// Takes closed accounts out of the rooms in which a crash has left them. What cannot be done is logged, and tried
/// again at the next start.
pub async fn finish_closing(app: &Arc<App>) {
    if let Err(error) = membership::finish_closing(app).await {
        tracing::warn!(%error.message, "closed accounts may still be in rooms");
    }
}
