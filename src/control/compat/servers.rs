//! Servers by the text that a script has for them.

use serde_json::json;

use crate::change::Change;
use crate::spec::{Address, Admin, Name};

/// What a server is set to.
pub(super) fn admin_of(is_up: bool) -> Admin {
    if is_up { Admin::Up } else { Admin::Down }
}

/// The edit that sets it.
pub(super) fn set(upstream: &Name, address: &Address, admin: Admin) -> Change {
    Change::PatchServer {
        upstream: upstream.clone(),
        address: address.clone(),
        server: json!({ "admin": admin }),
    }
}
