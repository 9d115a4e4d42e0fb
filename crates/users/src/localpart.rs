//! Which localparts a new account may have.
