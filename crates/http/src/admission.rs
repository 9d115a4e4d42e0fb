//! Where rates are limited: asked for every call that is authenticated, before its body is read.

use crate::auth::ClientAddress;
use crate::error::ApiResult;
use crate::registry::Spec;

/// Says whether a call may go on now.
pub trait Admission: Send + Sync + 'static {
    /// Refuses with [`crate::ApiError::limit_exceeded`] whoever calls too often. Must not block.
    fn admit(&self, operation: &Spec, user_id: Option<&str>, address: ClientAddress) -> ApiResult<()>;
}

/// Lets everybody pass.
pub struct Unlimited;

impl Admission for Unlimited {
    fn admit(&self, _operation: &Spec, _user_id: Option<&str>, _address: ClientAddress) -> ApiResult<()> {
        Ok(())
    }
}
